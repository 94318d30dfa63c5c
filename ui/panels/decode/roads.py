"""The tree of what was written from one prompt: stored runs, compared, named, pruned, continued."""

from typing import Any

import numpy as np

from tokenarium.backend import DecodeRequest, DecodeResult, UserError
from tokenarium.ui.components.roads import Road, none_of, roads, roads_value, sentence_of
from tokenarium.ui.panels.decode.scene import DecodeScene
from tokenarium.ui.shell.panel import Panel, Values
from tokenarium.ui.shell.visitor import hashed

MOST = 12
"""Runs beside the shown one."""
PRUNED = "pruned"
"""Tag of a run that the tree leaves out."""
LONGEST_NAME = 60
IMPORTED = (
    "Another server wrote this: no model is here to go on from another token. Entropies are lower "
    "bounds, from the tokens that the response gives."
)


class Roads(Panel):
    """Every lane of the newest runs of one prompt and model; their names and tags are stored."""

    slug = "roads"

    def build(self) -> None:
        """Make the component, which names and prunes by itself."""
        self.parts["roads"] = roads(self.change)

    def draw(self, scene: DecodeScene) -> Values:
        """Return the tree, once the run is done."""
        if not isinstance(scene.request, DecodeRequest):
            return {"roads": none_of(IMPORTED)}
        if scene.chosen.run is None or not scene.runs:
            return {}
        found = self._roads(scene)
        return {"roads": roads_value(scene.chosen.run, found, sentence_of(len(found)))}

    def _roads(self, scene: DecodeScene) -> list[Road]:
        listed = []
        if scene.visitor:  # else drawn before anybody came
            listed = self.lab.search(
                visitor=scene.visitor, kind="decode", model=scene.request.model, limit=50
            )
        own = scene.chosen.run
        kept: list[Road] = []
        known: set[tuple[int, ...]] = set()
        names = {record.id: record for record in listed}
        others = [record.id for record in listed if record.id != own]
        count = 0
        for run_id in (own, *others):
            record = names.get(run_id or "")
            try:
                run = (
                    scene.runs[0]
                    if run_id == own
                    else self.lab.open(run_id or "", visitor=scene.visitor)
                )
            except UserError:
                continue
            result, request = run.result, run.request
            if not isinstance(result, DecodeResult) or not isinstance(request, DecodeRequest):
                continue
            if not np.array_equal(result.prompt_ids, scene.result.prompt_ids):
                continue
            name = record.note.partition("\n")[0][:LONGEST_NAME] if record else ""
            pruned = record is not None and PRUNED in record.tags and run_id != own
            for lane in reversed(result.lanes):
                ids = tuple(lane.token_ids.tolist())
                if ids and ids not in known:
                    known.add(ids)
                    kept.append(Road(run.id, result, request, lane, name, pruned))
            count += 1
            if count > MOST:
                break
        return kept

    def change(self, asked: object) -> dict[str, Any]:
        """Name a run, prune it or bring it back; in words why not."""
        told = asked if isinstance(asked, dict) else {}
        run, visitor = str(told.get("run")), hashed(told.get("visitor"))
        try:
            if isinstance(name := told.get("name"), str):
                return {"name": self.lab.note(run, name[:LONGEST_NAME], visitor=visitor)}
            change = self.lab.tag if told.get("pruned") is True else self.lab.untag
            return {"pruned": PRUNED in change(run, PRUNED, visitor=visitor)}
        except UserError as error:
            return {"refused": str(error)}
