"""What a KV-cache policy declares; everything else about it is derived from that."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.terms import (
    Chooses,
    Label,
    NullScores,
    Positions,
    Reduction,
    Scope,
    When,
)
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_cache import LayerCache
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change
    from tokenarium.kernels.attention_stats import AttentionStats, Want


class Policy(Method):
    """One way to choose what a cache keeps; subclassing registers it, fields are its parameters.

    A subclass overrides ``scores``, or ``kept`` where a choice is no score. What it must remember
    per entry it puts into ``held.entries``; what it must remember per layer, into ``held.memory``.
    Requests and stored runs are checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Policy"]]] = Registry(
        "policy", modules_of("tokenarium.backend.cache.policies")
    )

    slug: ClassVar[str]
    """Name of the policy in requests."""
    title: ClassVar[str]
    """Name of the policy for people."""
    explanation: ClassVar[str]
    """What it keeps and why, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper; the method is then marked a variant."""
    label: ClassVar[Label] = "evict"
    """What is really done, whatever the paper calls it."""
    when: ClassVar[When] = "step"
    """When entries are dropped."""
    scope: ClassVar[Scope] = "head"
    """What shares one set of kept tokens."""
    chooses: ClassVar[Chooses] = "score"
    """What decides which tokens stay beside the protected ones."""
    watches: ClassVar[bool] = False
    """Whether it needs the attention weights of every decode step."""
    reads_surprisal: ClassVar[bool] = False
    """Whether it needs the surprisal of every token; then its scope is the model."""
    narrows: ClassVar[bool] = False
    """Whether only some of the prompt's tokens go on to later layers, by ``goes_on``."""
    ragged: ClassVar[bool] = False
    """Whether heads may hold different numbers: then the layer's sum keeps to the budget."""
    joins: ClassVar[bool] = False
    """Whether several layers may be handed to it as one with all their heads: what it does with a
    head must not depend on the layer. Decode steps are then quicker."""
    noise: ClassVar[NullScores] = "shuffled"
    """What its scores are where attention says nothing, the query heads' mean being taken."""
    published: ClassVar[Mapping[str, Any]] = {}
    """Values of the paper for parameters whose defaults follow the budget: offered as a preset."""

    positions: Positions = Field(
        "original", description="Where kept keys stand; the default is the paper's."
    )
    reduction: Reduction = Field(
        "mean", description="How query heads that share a KV head are reduced to one score."
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with every parameter that was left open set for a run.

        Args:
            budget: entries per head, averaged over the layers.
            layers: of the model.
            context: most tokens the model was made to read at once.
        """
        return self

    def reads_rotation(self) -> bool:
        """Return whether it needs to know how the model turns queries and keys with position."""
        return False

    def smallest_budget(self) -> int:
        """Return the fewest entries a head must hold, such as sink + window + 1."""
        return 1

    def every(self, budget: int) -> int:
        """Return the decode steps between two evictions; all but one of them are slack."""
        return 1

    def due(self, step: int, budget: int) -> bool:
        """Return whether entries are dropped after a decode step; the prompt's is step 0."""
        if self.when == "never" or (self.when == "prefill" and step):
            return False
        return step % self.every(budget) == 0

    def over(self, counts: Sequence[int], budget: int) -> bool:
        """Return whether heads that hold so many entries are over the budget of their layer."""
        return sum(counts) > budget * len(counts) if self.ragged else max(counts) > budget

    def baseline(self) -> NullScores:
        """Return what the scores are where attention says nothing, with these parameters."""
        # A maximum over heads is not linear.
        return "drawn" if self.noise == "even" and self.reduction == "max" else self.noise

    def cap(self) -> int | None:
        """Return the largest distance where positions are capped; None takes the model's."""
        return None

    def reads(self, loaded: "LoadedModel", budget: int, length: int) -> "dict[int, Change]":
        """Return, by layer, how attention is changed while a prompt of ``length`` is read."""
        return {}

    def remembers(self) -> int:
        """Return how many numbers are kept beside each entry from the end of the prompt on."""
        return 0

    def reaches(self, layer: int, budget: int, length: int) -> int:
        """Return how many tokens of a prompt of ``length`` get to a layer."""
        return length

    def left(self, budget: int) -> int:
        """Return how many entries a head holds right after an eviction; never over its budget."""
        return budget

    def budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return the budget of each layer, entries per head, for a prompt of ``length`` tokens."""
        return [budget] * layers

    def want(self, length: int) -> "Want":
        """Return the statistics of the prompt's attention that ``prefilled`` needs.

        A layer whose attention ``reads`` changes has none of them.
        """
        from tokenarium.kernels.attention_stats import Want

        return Want()

    def prefilled(self, held: "LayerCache", stats: "AttentionStats") -> None:
        """Remember what matters of a layer's attention over the prompt."""

    def goes_on(self, held: "LayerCache") -> "Tensor | None":
        """Return the ascending indices of the prompt's tokens that go on after this layer.

        Asked after ``prefilled`` where the policy ``narrows``, until it is not None for all; the
        last token must be among them.
        """
        return None

    def selects(self, held: "LayerCache") -> "Sequence[Tensor] | None":
        """Return for each KV head the ascending indices of what this step's queries read.

        None reads everything. A query must find itself or an older entry among them.
        """
        return None

    def stepped(self, held: "LayerCache", weights: "Tensor") -> None:
        """Remember what matters of a decode step; only where the policy ``watches``.

        A layer that reads a selection has no such weights.

        Args:
            weights: [H, n, S] of the n newest queries over the layer's entries.
        """

    def protects(self, held: "LayerCache") -> tuple[int, int]:
        """Return how many first tokens and how many newest entries are never dropped."""
        return 0, 0

    def scores(self, held: "LayerCache") -> "Tensor":
        """Return [G, S] float32 scores of the layer's entries; higher is kept, ties by position."""
        raise NotImplementedError(f"{self.slug} neither scores nor overrides kept")

    def kept(self, held: "LayerCache", budget: int) -> "Sequence[Tensor]":
        """Return for each KV head the ascending indices of the entries to keep."""
        from tokenarium.backend.cache.topk import highest

        return highest(self.scores(held), held, budget, self.protects(held), self.scope)


find = Policy.registry.find
registered = Policy.registry.all
