"""Keep the shortest keys."""

from typing import TYPE_CHECKING, ClassVar

from backend.eviction.policy import Policy

if TYPE_CHECKING:
    from torch import Tensor

    from backend.eviction.held import Held


class Knorm(Policy):
    """The length of a key stands for the attention it will get: short keys get much."""

    slug: ClassVar[str] = "knorm"
    title: ClassVar[str] = "Knorm"
    explanation: ClassVar[str] = (
        "Keeps the tokens with the shortest keys, which tend to receive most attention."
    )
    paper: ClassVar[str] = "Devoto et al., 2024, arXiv:2406.11430"
    differs: ClassVar[str] = "every layer is reduced; the authors leave the first two whole"

    def scores(self, held: "Held") -> "Tensor":
        """Return minus the length of each key."""
        import torch

        lengths: Tensor = torch.linalg.vector_norm(held.entries.rows("keys").float(), dim=-1)
        return -lengths
