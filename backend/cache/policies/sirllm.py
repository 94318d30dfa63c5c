"""Keep the first tokens, the surprising ones, and the newest."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, Positions, Protected, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView


class SirLLM(Policy):
    """One choice for the whole model by surprisal, -ln p of each token given those before it."""

    slug: ClassVar[str] = "sirllm"
    title: ClassVar[str] = "SirLLM"
    explanation: ClassVar[str] = (
        "Keeps the tokens that surprised the model most (low probability when they came), with the "
        "first and the newest ones; earlier turns fade."
    )
    paper: ClassVar[str] = "Yao et al., 2024, arXiv:2405.12528"
    differs: ClassVar[str] = (
        "the paper calls surprisal token entropy, and its code takes each token's one place late; "
        "here it is that of the token itself. Room is made at every step, not for a whole turn "
        "ahead, so that the budget holds; a window of newest tokens stands for the turn that the "
        "authors leave whole"
    )
    scope: ClassVar[Scope] = "model"
    needs: ClassVar[frozenset[Need]] = frozenset({"surprisal"})
    batches_layers: ClassVar[bool] = True
    published: ClassVar[Mapping[str, Any]] = {"sink": 4, "recent_share": 0.0}

    positions: Positions = Field(
        "rolled", description="Where kept keys stand; the authors count positions in the cache."
    )
    sink: int = Field(4, ge=0, le=256, description="First tokens that always stay; the paper's 4.")
    recent_share: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Share of the budget for the newest tokens; the authors' 0, with evictions "
        "between turns only.",
    )
    fading: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Factor on a surprisal for every later turn; the authors use 0.7, 0.9 and 1.",
    )

    def smallest_budget(self) -> int:
        """Return the sinks and one more token."""
        return self.sink + 1

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the sinks and the window of newest tokens."""
        return Protected(self.sink, round(self.recent_share * (budget - self.sink)))

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the surprisal, faded by turn; the first token's is above all."""
        import torch

        positions = view.positions.long()
        begins = torch.tensor(view.turns, device=positions.device)
        later = (begins > positions[..., None]).sum(-1)
        return view.surprisal.nan_to_num(float("inf"))[positions] * self.fading**later
