"""Cluster the keys of a fixed prefix once; every question reads the clusters that fit it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Need, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView
    from tokenarium.kernels.attention_stats import AttentionStats

CLUSTER = "cluster"
"""Number per entry: its cluster, counted from 1; 0 for what belongs to none and is always read."""
QUESTION = 32


class Squeezed(Policy):
    """A cluster's score is the weight that its centroid would have if all its keys were there.

    score[i] = e^(q C_i) / sum over j of N_j e^(q C_j), N_j keys in cluster j. One threshold for all
    heads and layers, so that heads which look at much read more than others.
    """

    slug: ClassVar[str] = "squeezed"
    title: ClassVar[str] = "Squeezed Attention"
    explanation: ClassVar[str] = (
        "Keeps every token and clusters the keys of the prompt's fixed part once; each question "
        "and step reads only the clusters whose centroids fit it."
    )
    paper: ClassVar[str] = "Hooper et al., 2024, arXiv:2411.09688"
    differs: ClassVar[str] = (
        "the threshold is set so that the prefix's last queries read as much as the budget allows, "
        "on average over heads and layers, where the authors take a quantile; one level of "
        "clusters; the prompt itself is read with full attention"
    )
    label: ClassVar[Label] = "select"
    when: ClassVar[When] = "never"
    at_once: ClassVar[str] = "puts the keys of a whole prompt into clusters before any is left out"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "queries", "random"})
    published: ClassVar[Mapping[str, Any]] = {"removed": 0.7, "calibration": 100}

    question: int | None = Field(
        None,
        ge=0,
        le=65_536,
        description="Last tokens of the prompt that are no part of the fixed prefix; left open, "
        "32, and at most a quarter of the budget. What is read after the prompt is none either.",
    )
    clusters: float = Field(
        0.05, gt=0, le=1, description="Clusters, as a share of the tokens of the prefix."
    )
    iterations: int = Field(20, ge=1, le=300, description="Steps of k-means.")
    calibration: int = Field(
        50, ge=1, le=4096, description="Last queries of the prefix that set the threshold."
    )
    removed: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the prefix that these queries leave out; left open, what the budget "
        "asks for.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Return the policy with the length of its question set from the budget."""
        question = min(QUESTION, budget // 4) if self.question is None else self.question
        return self.model_copy(update={"question": question})

    def smallest_budget(self) -> int:
        """Return the question and one token of the prefix."""
        return (self.question or 0) + 1

    def state_per_token(self) -> int:
        """Return the number of a token's cluster."""
        return 1

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the newest token, which reads itself."""
        return Protected(newest=1)

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Cluster the prefix's keys, and note how its last queries see the clusters."""
        import torch

        assert self.question is not None
        prefix = view.counts[0] - self.question
        member = torch.zeros(view.positions.shape, device=view.device)
        view.put(CLUSTER, member)
        if view.counts[0] <= view.budget or prefix < 1:
            return
        keys = view.keys[:, :prefix].float()
        count = max(1, round(self.clusters * prefix))
        own = spherical_clusters(keys, count, self.iterations, view.random)
        member[:, :prefix] = own + 1
        view.put(CLUSTER, member)
        sizes = torch.zeros(view.groups, count, device=view.device)
        sizes.scatter_add_(1, own, torch.ones_like(keys[..., 0]))
        means = torch.zeros(view.groups, count, keys.shape[2], device=view.device)
        means.scatter_add_(1, own[..., None].expand_as(keys), keys)
        view.memory["centroids"] = means / sizes.clamp(min=1)[..., None]
        view.memory["sizes"] = sizes
        last = view.queries[:, max(0, prefix - self.calibration) : prefix]
        scores = self.scores_at(view, last)  # [G, n, C]
        view.shared.setdefault("seen", []).append((scores, sizes, prefix))

    def clusters_of(self, view: "LayerView") -> "Tensor | None":
        """Return the clusters of the prefix."""
        return view.state(CLUSTER).long() if "centroids" in view.memory else None

    def selects(self, view: "LayerView") -> "Choice | None":
        """Return the entries of the clusters above the threshold, and all that belong to none."""
        import torch

        from tokenarium.backend.cache.layer_view import Choice

        assert self.question is not None
        more = view.queries.shape[1] - 1
        if "centroids" not in view.memory or view.counts[0] <= view.budget + more:
            return None
        threshold = view.shared.get("threshold")
        if threshold is None:
            threshold = self._threshold(view.shared.pop("seen"), view.budget)
            view.shared["threshold"] = threshold
        queries = view.queries.mean(1, keepdim=True)
        scores = self.scores_at(view, queries)[:, 0]
        member = view.state(CLUSTER).long()
        open_ = torch.cat((scores.new_ones(view.groups, 1) * float("inf"), scores), 1)
        of_entries = open_.gather(1, member)
        read = of_entries > threshold
        shown = of_entries.masked_fill(member == 0, float(scores.max()))
        return Choice([own.nonzero()[:, 0] for own in read], shown)

    def scores_at(self, view: "LayerView", queries: "Tensor") -> "Tensor":
        """Return [G, n, C] the scores of the clusters for queries [H, n, D]."""
        centroids, sizes = view.memory["centroids"], view.memory["sizes"]
        grouped = queries.float().unflatten(0, (view.groups, -1))
        logits = (grouped @ centroids[:, None].mT) * view.scaling  # [G, H / G, n, C]
        there = sizes[:, None, None] > 0
        logits = logits.masked_fill(~there, float("-inf"))
        logits = logits - logits.amax(-1, keepdim=True)
        weights = logits.exp()
        weights /= (weights * sizes[:, None, None]).sum(-1, keepdim=True)
        return view.per_kv_head(weights.flatten(0, 1))

    def _threshold(self, seen: "list[tuple[Tensor, Tensor, int]]", budget: int) -> float:
        """Return the highest score that is not read."""
        import torch

        assert self.question is not None
        prefix = seen[0][2]
        wanted = budget - self.question if self.removed is None else (1 - self.removed) * prefix
        scores = torch.cat([own.flatten() for own, _, _ in seen])
        keys = torch.cat([n[:, None].expand_as(own).flatten() for own, n, _ in seen])
        readings = sum(own.shape[0] * own.shape[1] for own, _, _ in seen)
        order = scores.sort(descending=True, stable=True)
        read = keys[order.indices].cumsum(0, dtype=torch.float64)
        inside = int((read <= wanted * readings).sum())
        return float(order.values[min(inside, len(order.values) - 1)])


def spherical_clusters(keys: "Tensor", count: int, iterations: int, random: Any) -> "Tensor":
    """Return [G, S] the cluster of each of keys [G, S, D], by k-means over their directions.

    The first centres are drawn as k-means++ does, far ones more likely than near ones.
    """
    import torch

    unit = torch.nn.functional.normalize(keys, dim=2)
    centres = _first_centres(unit, count, random)
    own = torch.zeros(keys.shape[:2], dtype=torch.long, device=keys.device)
    for _ in range(iterations):
        before, own = own, (unit @ centres.mT).argmax(2)
        sums = torch.zeros_like(centres).scatter_add_(1, own[..., None].expand_as(unit), unit)
        empty = (sums == 0).all(2, keepdim=True)
        centres = torch.where(empty, centres, torch.nn.functional.normalize(sums, dim=2))
        if torch.equal(before, own):
            break
    return own


def _first_centres(unit: "Tensor", count: int, random: Any) -> "Tensor":
    """Return [G, count, D] of unit keys [G, S, D]; as long as some are apart, no two are alike."""
    import torch

    groups, length, _ = unit.shape
    distance = torch.ones(groups, length, device=unit.device)
    chosen = []
    for at in _draws(groups, length, count, random):
        reach = distance.cumsum(1)
        drawn = at.to(unit.device)[:, None] * reach[:, -1:]
        place = torch.searchsorted(reach, drawn, right=True)
        place = place.clamp(max=length - 1)[..., None].expand(-1, -1, unit.shape[2])
        centre = unit.gather(1, place)
        chosen.append(centre)
        here = (1 - (unit @ centre.mT)[..., 0]).clamp(min=0)
        distance = torch.minimum(distance, here) if len(chosen) > 1 else here
        distance.scatter_(1, place[..., 0], 0)
        if not bool((distance.sum(1) > 0).all()):
            distance = distance + 1e-12
    return torch.cat(chosen, 1)


def _draws(groups: int, length: int, count: int, random: Any) -> "Iterator[Tensor]":
    import torch

    for _ in range(min(count, length)):
        yield torch.rand(groups, generator=random)
