"""Look once which tokens of the prompt matter at all; of these, read the clusters that fit."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Need, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.kernels.attention_stats import AttentionStats

ALIVE = "alive"
CLUSTERS = 8
"""Clusters that a budget has at least, where the size of one is left open."""
LARGEST = 16
"""The authors' smaller cluster."""


class MPCache(Policy):
    """Two steps made of few comparisons: a look at the prompt's end, then bounds of clusters.

    score[cluster] = sum over channels of q_d (w max_d + (1 - w) min_d), max and min over its keys.
    The larger clusters are thinned out first, then the smaller ones within what is left.
    """

    slug: ClassVar[str] = "mpcache"
    title: ClassVar[str] = "MPCache"
    explanation: ClassVar[str] = (
        "Keeps every token, but never reads those of the prompt that its end hardly looks at, and "
        "at each step only the clusters of the others whose key ranges fit the query."
    )
    paper: ClassVar[str] = "Zeng et al., 2025, arXiv:2501.06807"
    differs: ClassVar[str] = (
        "made for secure computation, whose gain cannot be seen here; tokens that fail the first "
        "look stay in memory, as in the authors' plain code; its threshold is a share of the "
        "prompt, which the authors set by hand for each task"
    )
    label: ClassVar[Label] = "select"
    when: ClassVar[When] = "never"
    at_once: ClassVar[str] = "looks once at a whole prompt to say which of its tokens are ever read"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries", "rows"})
    published: ClassVar[Mapping[str, Any]] = {"cluster": 16}

    looking: float = Field(
        0.2, gt=0, le=1, description="Share of the prompt, at its end, whose queries look once."
    )
    static: float = Field(
        0.75,
        gt=0,
        le=1,
        description="Share of the prompt that passes the look; never less than the budget.",
    )
    cluster: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="Tokens in a smaller cluster, the larger have twice as many; left open, the "
        "largest power of two up to 16 of which the budget holds 8.",
    )
    larger: float = Field(
        0.5, gt=0, le=1, description="Share of the larger clusters that is looked into."
    )
    upper: float = Field(
        0.6, ge=0, le=1, description="Weight of a cluster's highest value in a channel."
    )
    shared: bool = Field(
        True, description="Whether every second layer reads what the one before it chose."
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with its clusters set from the budget."""
        usual = min(LARGEST, 1 << max(0, (budget // CLUSTERS).bit_length() - 1))
        return self.model_copy(update={"cluster": self.cluster or usual})

    def smallest_budget(self) -> int:
        """Return the first and the last cluster."""
        return 2 * (self.cluster or 1)

    def state_per_token(self) -> int:
        """Return the note whether a token passed the look."""
        return 1

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the newest token, which reads itself."""
        return Protected(newest=1)

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Note which tokens of the prompt pass: the same in all heads."""
        import torch

        length = view.counts[0]
        highest = torch.zeros(length, device=view.device)
        for rows in view.last_rows(max(1, round(self.looking * length))):
            highest = torch.maximum(highest, rows.weights.float().mean(0).amax(0))
        passing = min(length, max(view.budget, round(self.static * length)))
        alive = torch.zeros(length, device=view.device)
        alive[highest.sort(descending=True, stable=True).indices[:passing]] = 1
        view.put(ALIVE, alive.expand(view.groups, -1).contiguous())

    def selects(self, view: "LayerView") -> "Choice | None":
        """Return the entries in the clusters that fit best, or what the layer before read."""
        from tokenarium.backend.cache.layer_view import Choice

        more = view.queries.shape[1] - 1
        if view.counts[0] <= view.budget + more:
            return None
        step, layer, found = view.shared.get("choice", (0, -1, None))
        if self.shared and view.layer % 2 and (step, layer) == (view.step, view.layer - 1):
            earlier: Choice = found
            return earlier
        alive = (view.state(ALIVE)[0] > 0) | (view.positions[0] >= view.prompt)
        places = alive.nonzero()[:, 0]
        choice = Choice(self._clusters(view, places, view.budget + more))
        view.shared["choice"] = (view.step, view.layer, choice)
        return choice

    def _clusters(self, view: "LayerView", places: "Tensor", budget: int) -> "list[Tensor]":
        """Return for each KV head which of the entries ``places`` [n] are read."""
        import torch

        size = self.cluster or 1
        large = self._bounds(view, places, 2 * size)
        whole = max(-(-budget // (2 * size)), round(self.larger * large.shape[1]))
        inside = _highest(large, whole).repeat_interleave(2, 1)
        small = self._bounds(view, places, size)
        fits = small.masked_fill(~inside[:, : small.shape[1]], float("-inf"))
        read = _highest(fits, budget // size).repeat_interleave(size, 1)[:, : len(places)]
        newest = view.queries.shape[1]
        read[:, len(places) - newest :] = True  # every query reads itself
        assert isinstance(read, torch.Tensor)
        return [places[own] for own in read]

    def _bounds(self, view: "LayerView", places: "Tensor", size: int) -> "Tensor":
        """Return [G, C] how well the queries fit the key ranges of clusters of ``places`` [n]."""
        keys = view.keys[:, places].float()
        clusters = -(-len(places) // size)
        last = keys[:, -1:].expand(-1, clusters * size - len(places), -1)
        grouped = _joined(keys, last).unflatten(1, (clusters, size))
        ranges = self.upper * grouped.amax(2) + (1 - self.upper) * grouped.amin(2)
        queries = view.queries.float().mean(1).view(view.groups, -1, keys.shape[2])
        return self.scores_at(view, queries @ ranges.mT)

    def scores_at(self, view: "LayerView", logits: "Tensor") -> "Tensor":
        """Return [G, C] the scores of clusters from those of query heads [G, H / G, C]."""
        return view.per_kv_head(logits.flatten(0, 1))


def _highest(scores: "Tensor", count: int) -> "Tensor":
    """Return [G, C] which of scores [G, C] are among the highest, the first and last always."""
    import torch

    own = scores.clone()
    own[:, 0] = own[:, -1] = float("inf")
    order = own.sort(dim=1, descending=True, stable=True).indices[:, : max(2, count)]
    return torch.zeros_like(own, dtype=torch.bool).scatter_(1, order, value=True)


def _joined(one: "Tensor", other: "Tensor") -> "Tensor":
    import torch

    return torch.cat((one, other), 1)
