"""Keep the shortest keys."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_cache import LayerCache
    from tokenarium.kernels.attention_stats import AttentionStats


class Knorm(Policy):
    """The length of a key stands for the attention it will get: short keys get much."""

    slug: ClassVar[str] = "knorm"
    title: ClassVar[str] = "Knorm"
    explanation: ClassVar[str] = (
        "Keeps the tokens with the shortest keys, which tend to receive most attention."
    )
    paper: ClassVar[str] = "Devoto et al., 2024, arXiv:2406.11430"
    differs: ClassVar[str] = "every layer is reduced; the authors leave the first two whole"
    joins: ClassVar[bool] = True

    def remembers(self) -> int:
        """Return one: the length of the key."""
        return 1

    def prefilled(self, held: "LayerCache", stats: "AttentionStats") -> None:
        """Measure the prompt's keys."""
        key_lengths(held)

    def scores(self, held: "LayerCache") -> "Tensor":
        """Return minus the length of each key."""
        return -key_lengths(held)


def key_lengths(held: "LayerCache") -> "Tensor":
    """Return [G, S] lengths of the keys; each is measured once, as turning does not change it."""
    import torch

    entries = held.entries
    fresh = held.seen - held.memory.get("measured", 0)
    held.memory["measured"] = held.seen
    if "length" not in entries.buffers:
        entries.put("length", torch.zeros_like(entries.rows("positions")))
        fresh = max(entries.counts)
    if entries.even:
        lengths = entries.rows("length")
        new = slice(max(0, entries.counts[0] - fresh), None)
        new_keys = entries.rows("keys")[:, new].float()
        lengths[:, new] = torch.linalg.vector_norm(new_keys, dim=-1)
        entries.put("length", lengths)
        return lengths
    for g, count in enumerate(entries.counts):
        new = slice(max(0, count - fresh), count)
        lengths = torch.linalg.vector_norm(entries.head("keys", g)[new].float(), dim=-1)
        entries.head("length", g)[new] = lengths
    return entries.rows("length")
