"""What one head holds under a policy, how the policy scores the text, and how it searched it."""

from typing import ClassVar

from tokenarium.ui.figures.eviction import held_by_head, held_map, scores
from tokenarium.ui.panels.cache.grouping import FIGURES as FOUND
from tokenarium.ui.panels.cache.grouping import grouping
from tokenarium.ui.panels.cache.scene import CacheScene, protected, shown_run
from tokenarium.ui.shell.panel import Panel, Values

FIGURES = {
    "cache_map": (
        "What one head holds",
        "Every row is a step, every column a token: why it is held, or that it is gone.",
    ),
    "cache_scores": (
        "How the policy scores the text",
        "Above the dashed line stays. Diamonds are close decisions; dotted is the score by chance.",
    ),
    "cache_heads": (
        "What every head holds",
        "Entries by layer and KV head at the chosen step: who keeps the whole text, who its ends.",
    ),
}


class Held(Panel):
    """A map of tokens over steps; at a step scores, what heads hold, and how it was found."""

    slug = "held"
    uses: ClassVar[frozenset[str]] = frozenset({"layer", "head", "policy", "step"})

    def build(self) -> None:
        """Make the figures, and the place of a text with its clusters."""
        self.figures(FIGURES)
        self.figures(FOUND)
        self.html("cache_clusters")

    def draw(self, scene: CacheScene) -> Values:
        """Return all; another step changes no map of tokens."""
        run, now, before = shown_run(scene), scene.chosen, scene.before
        found = {
            "cache_scores": scene.drawn(scores(run, now.step, now.layer, now.head)),
            "cache_heads": scene.drawn(held_by_head(run, now.step)),
            **grouping(scene),
        }
        if before and (before.layer, before.head, before.policy) == (
            now.layer,
            now.head,
            now.policy,
        ):
            return found
        shown = held_map(run, protected(scene, run), now.layer, now.head)
        return {**found, "cache_map": scene.drawn(shown)}
