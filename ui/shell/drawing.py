"""What a page shows of runs: panels, words, and what the browser is sent of them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import gradio as gr

from tokenarium.backend import Lab, ModelRequest, Run, UserError
from tokenarium.ui.components.sentence import facts_of, status
from tokenarium.ui.shell.panel import AnyScene, Panel, Scene, Settings, Values
from tokenarium.ui.shell.section import MAIN, RunPage, Section
from tokenarium.ui.shell.selection import PLACES, Chosen, Selection

BETWEEN = "."
"""Stands between the runs of one section in an address, such as those of a race."""
MOST_PARTIAL = 16


@dataclass(frozen=True)
class Asker:
    """What comes with an event: who asks, what is chosen, and what the page shows."""

    visitor: str = ""
    told: Selection = Selection()
    drawn: Mapping[str, Any] = field(default_factory=dict)
    """By section, what it shows: ``runs``, for the page itself also view and place."""
    settings: Settings = field(default_factory=dict)
    """What the controls of all panels say, by name."""

    def of(self, section: str) -> Mapping[str, Any]:
        """Return what a section shows."""
        found = self.drawn.get(section)
        return found if isinstance(found, dict) else {}


class Drawing:
    """Draws the runs of one page; values are returned by the name of the part."""

    def __init__(self, page: RunPage, lab: Lab) -> None:
        self.page, self.lab = page, lab
        self.began_with = lab.preselected().name
        """The model that the page is sent with; which one it is may turn out later."""
        self._partial: OrderedDict[str, tuple[Any, ModelRequest]] = OrderedDict()
        used = frozenset[str]().union(*(panel.uses for panel in page.every_panel()))
        self._places = [name for name in PLACES if name in used and name != "metric"]

    @staticmethod
    def part(section: Section, name: str) -> str:
        """Return what a part of a section is called on the page."""
        return name if section.slug == MAIN else f"{section.slug}.{name}"

    def _shown(
        self,
        section: Section,
        runs: Sequence[Run],
        asker: Asker,
        why: str,
        *,
        controls: bool = False,
    ) -> Values:
        for run in runs:
            if type(run.request) not in section.kinds:
                raise UserError(
                    f"run={run.id} is a {run.request.kind}, not a {section.kinds[0].kind}: open it "
                    "on the page of its kind"
                )
        first = runs[0]
        scene = self._scene_of(section, first.result, first.request, asker, runs)  # type: ignore[arg-type]
        trouble = first.environment.get("storage")
        found = self._drawn(section, scene, asker.told)
        ids = BETWEEN.join(run.id for run in runs)
        found |= {
            "selection": self._message(section, scene, asker.told, why, ids),
            self.part(section, "status"): status(str(trouble), "error") if trouble else "",
            self.part(section, "facts"): facts_of(first),
            self.part(section, "drawn"): self._kept(section, scene.chosen, asker.told, ids),
        }
        return {**found, **section.filled(first.request)} if controls else found

    def _part_of(
        self, section: Section, run_id: str, result: Any, request: ModelRequest, asker: Asker
    ) -> Values:
        """Return what is known of a run that goes on."""
        self._keep(run_id, result, request)
        scene = self._scene_of(section, result, request, asker, ())
        return {
            **self._drawn(section, scene, asker.told),
            "selection": self._message(section, scene, asker.told, "partial", None),
            self.part(section, "facts"): "",
            self.part(section, "drawn"): self._kept(section, scene.chosen, asker.told, None),
        }

    def _drawn(self, section: Section, scene: AnyScene, told: Selection) -> Values:
        panels = list(section.shown)
        if section is self.page:
            view = self._view(told)
            panels += [*self.page.at_side, *([view] if view else [])]
        found: Values = {self.part(section, "sentence"): section.said(scene)}
        for panel in panels:
            found |= panel.draw(scene.of(panel))
        return found

    def _moved(self, asker: Asker) -> Values:
        """Return what changes where the same run is shown."""
        page, told = self.page, asker.told
        scene = self._scene(page, asker)
        kept = asker.of(MAIN)
        before, now = Chosen.read(kept.get("place")), scene.chosen
        changed = {name for name in PLACES if getattr(before, name) != getattr(now, name)}
        view = self._view(told)
        found: Values = {}
        for panel in (*page.shown, *page.at_side):
            if panel.uses & changed:
                found |= panel.draw(scene.of(panel, before=before))
        if view and view.slug != kept.get("view"):
            found |= view.draw(scene.of(view))
            if (
                view.slug != told.tab
            ):  # else an answer that is late would close what was opened since
                found["views"] = gr.Tabs(selected=view.slug)
        elif view and view.uses & changed:
            found |= view.draw(scene.of(view, before=before))
        return {**found, "drawn": self._kept(page, now, told, kept.get("runs"))}

    def _emptied(self, section: Section) -> Values:
        found: Values = {self.part(section, name): "" for name in ("sentence", "status", "facts")}
        for panel in section.shown:
            found |= panel.empty()
        return {**found, self.part(section, "drawn"): {}}

    def _example(self, asker: Asker, why: str, *, controls: bool = False) -> Values:
        found = self.lab.examples(self.page.kinds[0].kind)
        if not found:
            return {}
        try:
            run = self.lab.open(found[0].run_id, visitor=asker.visitor)
        except UserError:
            return {}
        values = self._shown(self.page, [run], asker, why, controls=controls or why == "first")
        if "model" in values:
            values |= self.page.with_model(self.lab.preselected().name, values)
        values["selection"] |= {"example": run.id}
        return values

    def _scene(self, section: Section, asker: Asker) -> AnyScene:
        """Return what a section shows: stored runs, or a part of one that goes on or was stopped.

        Raises:
            UserError: if it shows nothing, or the run is gone.
        """
        ids = asker.told.runs.get(section.slug)
        if ids is not None:
            runs = [self.lab.open(each, visitor=asker.visitor) for each in ids.split(BETWEEN)]
            if type(runs[0].request) not in section.kinds:
                raise UserError(f"run={ids} is a {runs[0].request.kind}: open it on its own page")
            return self._scene_of(section, runs[0].result, runs[0].request, asker, runs)  # type: ignore[arg-type]
        going = asker.told.running.get(section.slug, "").split(BETWEEN)[-1]
        if going not in self._partial:
            raise UserError("no run is shown: press Run first")
        result, request = self._partial[going]
        return self._scene_of(section, result, request, asker, ())

    def _scene_of(
        self,
        section: Section,
        result: Any,
        request: ModelRequest,
        asker: Asker,
        runs: Sequence[Run],
    ) -> AnyScene:
        wanted = replace(asker.told, run=runs[0].id if runs else None)
        place = section.place(wanted, result)
        settings = asker.settings or {}
        return Scene(result, request, place, settings, asker.visitor, None, tuple(runs))

    def _message(
        self, section: Section, scene: AnyScene, told: Selection, why: str, ids: str | None
    ) -> Values:
        """Return what the browser is sent of what is shown, and why."""
        found = {"shown": True, "why": why, "section": section.slug, "id": ids, "reply": None}
        if why == "reply":
            found["reply"] = told.reply
        if section is not self.page:
            return found
        view = self._view(told)
        run = scene.chosen.run
        return {
            **self._said_of_page(),
            **found,
            "run": run,
            **{name: getattr(scene.chosen, name) for name in self._places},
            **section.sizes(scene.result),
            "partial": run is None,
            "view": view.slug if view else None,
        }

    def _said_of_page(self) -> Values:
        page = self.page
        return {"page": page.path, "sections": list(page.sections), "arrows": page.arrows}

    def _kept(self, section: Section, chosen: Chosen, told: Selection, ids: str | None) -> Values:
        if section is not self.page:
            return {"runs": ids}
        view = self._view(told)
        return {"runs": ids, "view": view.slug if view else None, "place": asdict(chosen)}

    def _keep(self, run_id: str, result: Any, request: ModelRequest) -> None:
        self._partial[run_id] = (result, request)
        self._partial.move_to_end(run_id)
        while len(self._partial) > MOST_PARTIAL:
            self._partial.popitem(last=False)

    def _view(self, told: Selection) -> Panel | None:
        tabs = self.page.tabs
        return tabs.get(told.view or "", next(iter(tabs.values()), None))

    def _section_of(self, panel: Panel) -> Section:
        sections = self.page.sections.values()
        return next((each for each in sections if panel in each.shown), self.page)
