"""Keep the shortest keys."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
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
    needs: ClassVar[frozenset[Need]] = frozenset({"keys"})
    batches_layers: ClassVar[bool] = True

    def state_per_token(self) -> int:
        """Return one: the length of the key."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Measure the prompt's keys."""
        key_lengths(view)

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        return press("KnormPress", compression_ratio)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return minus the length of each key."""
        return -key_lengths(view)


def key_lengths(view: "LayerView") -> "Tensor":
    """Return [G, S] lengths of the keys; each is measured once, as turning does not change it."""
    import torch

    fresh = view.seen - view.memory.get("measured", 0)
    view.memory["measured"] = view.seen
    if not view.has_state("length"):
        view.put("length", torch.zeros_like(view.positions))
        fresh = max(view.counts)
    lengths, keys = view.state("length"), view.keys
    if view.even:
        new = slice(max(0, view.counts[0] - fresh), None)
        lengths[:, new] = torch.linalg.vector_norm(keys[:, new].float(), dim=-1)
    else:
        for g, count in enumerate(view.counts):
            own = slice(max(0, count - fresh), count)
            lengths[g, own] = torch.linalg.vector_norm(keys[g, own].float(), dim=-1)
    view.put("length", lengths)
    return lengths
