"""The same text under every policy, replayed step by step, and what each saves and costs."""

from typing import ClassVar

import numpy as np

from tokenarium.backend import PolicyRun
from tokenarium.ui.components.cache_table import cache_table
from tokenarium.ui.components.place import place, place_value
from tokenarium.ui.components.table import table
from tokenarium.ui.components.token_rows import Lane, lanes, lanes_value
from tokenarium.ui.panels.cache.scene import CacheScene, protected
from tokenarium.ui.shell.panel import Panel, Values


class Lanes(Panel):
    """Lanes of tokens, one for each policy."""

    slug = "lanes"
    uses: ClassVar[frozenset[str]] = frozenset({"layer", "head"})

    def build(self) -> None:
        """Make the lanes."""
        self.parts["lanes"] = lanes(None)

    def draw(self, scene: CacheScene) -> Values:
        """Return the lanes of the chosen layer and head."""
        result = scene.result
        return {"lanes": lanes_value(result.prompt_text, [lane(scene, r) for r in result.runs])}


class Table(Panel):
    """What each policy takes and costs; which policy, layer and head are shown."""

    slug = "table"

    def build(self) -> None:
        """Make the table and the choice of a place."""
        self.parts["cache_table"] = table(None, "cache")
        self.parts["place"] = place(None)

    def draw(self, scene: CacheScene) -> Values:
        """Return both; nothing that is chosen changes them."""
        result = scene.result
        layers, heads = result.evicted_at.shape[1:3]
        policies = list(zip(result.titles, result.policies, strict=True))
        return {
            "cache_table": cache_table(result),
            "place": place_value(policies, layers, heads),
        }


def lane(scene: CacheScene, run: PolicyRun) -> Lane:
    """Return what one policy did, in the chosen layer and head."""
    result, layer, head = scene.result, scene.chosen.layer, scene.chosen.head
    texts = result.token_text[run.number][: run.steps]
    gone = result.evicted_at[run.number, layer, head, : len(result.prompt_text) + run.steps]
    apart = np.flatnonzero(run.top1_agree == 0).tolist()
    at = result.selected_at
    rows = np.flatnonzero((at[:, 0] == run.number) & (at[:, 2] == layer))
    selected = [(int(at[row, 1]), result.selected_bits[row, head]) for row in rows]
    title = result.titles[run.number]
    return Lane(title, run.label, texts, gone, apart, protected(scene, run), selected)
