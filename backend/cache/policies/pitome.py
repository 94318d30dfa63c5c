"""Join the entries that are most alike."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, Need, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import Choice, LayerView


class PiToMe(Policy):
    """Entries with many others like them are joined in pairs; those that stand alone stay.

    energy[i] = mean over j of exp(-((1 - cos(k_i, k_j)) / (1 - margin))^2). Of the entries with
    most energy every second one becomes a part of the nearest of the others, again and again until
    the budget is met; the joined entry is their mean and counts for as many.
    """

    slug: ClassVar[str] = "pitome"
    title: ClassVar[str] = "PiToMe"
    explanation: ClassVar[str] = (
        "Merges the tokens whose keys have most others like them, each with its nearest, and "
        "weighs what is merged by how many tokens it is."
    )
    paper: ClassVar[str] = "Tran et al., 2024, arXiv:2405.16148"
    differs: ClassVar[str] = (
        "made for the tokens of encoders, here for keys and values of a cache, once after the "
        "prompt, in each KV head; the first and the newest tokens never take part"
    )
    label: ClassVar[Label] = "merge"
    when: ClassVar[When] = "prefill"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys"})

    margin: float = Field(
        0.5, ge=-1, lt=1, description="How alike keys are that count as alike, as a cosine."
    )
    first: int = Field(1, ge=0, le=256, description="First tokens of the text that stay alone.")
    newest: int = Field(8, ge=1, le=4096, description="Newest tokens that stay alone.")

    def smallest_budget(self) -> int:
        """Return what stays alone and one entry."""
        return self.first + self.newest + 1

    def state_per_token(self) -> int:
        """Return how many tokens an entry is."""
        return 1

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return what stays alone."""
        return Protected(self.first, self.newest)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return [G, S] how much each entry stands alone: less energy is merged later."""
        import torch

        return -torch.stack([self._energy(keys) for keys in view.keys.float()])

    def kept(self, view: "LayerView", budget: int) -> "Choice":
        """Merge until ``budget`` entries are left, and return which became a part of which."""
        from tokenarium.backend.cache.layer_view import Choice

        scores, kept, into = self.scores(view), [], []
        for g, keys in enumerate(view.keys.float()):
            own = self._merged(keys[: view.counts[g]], -scores[g, : view.counts[g]], budget)
            into.append(own)
            kept.append((own == _numbers(own)).nonzero()[:, 0])
        return Choice(kept, scores, into)

    def _energy(self, keys: "Tensor") -> "Tensor":
        """Return [S] the energy of keys [S, D]."""
        import torch

        unit = torch.nn.functional.normalize(keys, dim=1)
        distance = (1 - unit @ unit.mT) / (1 - self.margin)
        return torch.exp(-distance.square()).mean(1)

    def _merged(self, keys: "Tensor", energy: "Tensor", budget: int) -> "Tensor":
        """Return [S] the entry that each of the keys [S, D] becomes a part of."""
        import torch

        length = len(keys)
        into = torch.arange(length, device=keys.device)
        sizes = torch.ones(length, device=keys.device)
        means = keys.clone()
        left = into.clone()
        while len(left) > budget:
            free = (left >= self.first) & (left < length - self.newest)
            order = energy.masked_fill(~free, float("-inf")).argsort(descending=True, stable=True)
            pairs = min(len(left) - budget, int(free.sum()) // 2)
            chosen = left[order[: 2 * pairs]]
            gone, stay = chosen[::2], chosen[1::2]
            unit = torch.nn.functional.normalize(means, dim=1)
            nearest = stay[(unit[gone] @ unit[stay].mT).argmax(1)]
            into, sizes, means = _joined(gone, nearest, into, sizes, means)
            left = (into == _numbers(into)).nonzero()[:, 0]
            energy = self._energy(means[left])
        return into


def _joined(
    gone: "Tensor", nearest: "Tensor", into: "Tensor", sizes: "Tensor", means: "Tensor"
) -> tuple["Tensor", "Tensor", "Tensor"]:
    """Join every entry ``gone`` with its ``nearest``; the oldest of those joined stays.

    Args:
        into: [S] the entry that each is a part of; sizes: [S] how many; means: [S, D] of keys.
    """
    import torch

    parent = _numbers(into)
    parent[gone] = nearest
    oldest = parent.clone().scatter_reduce_(0, parent, _numbers(into), "amin")
    parent = oldest[parent]
    weights = torch.zeros_like(sizes).index_add_(0, parent, sizes)
    sums = torch.zeros_like(means).index_add_(0, parent, means * sizes[:, None])
    means = torch.where(weights[:, None] > 0, sums / weights[:, None].clamp(min=1), means)
    return parent[into], weights, means


def _numbers(like: "Tensor") -> "Tensor":
    """Return 0, 1, ... as many as there are."""
    import torch

    return torch.arange(len(like), device=like.device)
