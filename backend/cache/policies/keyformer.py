"""Keep key tokens by accumulated attention with noise, and the newest tokens."""

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, NullScores, Protected

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats


_TINY = 2.0**-126
"""The smallest normal float32: stands for a draw of exactly 0, which has no logarithm."""


class Keyformer(Policy):
    """Running sum of softmax((x + g) / t): logits x, fresh Gumbel noise g, rising temperature t.

    The noise gives tokens that were passed over a chance; the score is random by design.
    """

    slug: ClassVar[str] = "keyformer"
    title: ClassVar[str] = "Keyformer"
    explanation: ClassVar[str] = (
        "Keeps the tokens with most attention so far, with random noise that gives others a "
        "chance, and the newest ones."
    )
    paper: ClassVar[str] = "Adnan et al., 2024, arXiv:2403.09054"
    differs: ClassVar[str] = (
        "entries are really dropped, where the authors' code hides them; of a long prompt only the "
        "last queries are scored; the noise comes from the request's seed"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"attention", "rows", "random"})
    null_scores: ClassVar[NullScores] = "drawn"
    batches_layers: ClassVar[bool] = True
    published: ClassVar[Mapping[str, Any]] = {"observed": 1_000_000}

    recent_share: float = Field(
        0.3, ge=0, lt=1, description="Share of the budget for the newest tokens; the authors' 0.3."
    )
    temperature: float = Field(
        1.0, gt=0, le=10, description="Temperature for the prompt; the authors' 1."
    )
    warming: float = Field(
        0.01, ge=0, le=1, description="Temperature added at every decode step; the authors' 0.01."
    )
    observed: int = Field(
        256,
        ge=1,
        le=1_000_000,
        description="Last queries of the prompt that are scored; the authors score all.",
    )

    def state_per_token(self) -> int:
        """Return one: the attention received."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Begin with the noisy attention of the prompt's last queries."""
        noisy = (
            _noisy(rows.weights, self.temperature, view.random).sum(1)
            for rows in view.last_rows(self.observed)
        )
        view.put("mass", view.per_kv_head(reduce(add, noisy)))

    def observe_step(self, view: "LayerView", weights: "Tensor") -> None:
        """Add the noisy attention of the newest queries."""
        temperature = self.temperature + view.step * self.warming
        given = _noisy(weights, temperature, view.random).sum(1)
        view.put("mass", view.state("mass") + view.per_kv_head(given))

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the window of newest tokens."""
        return Protected(newest=round(self.recent_share * budget))

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the accumulated noisy attention."""
        return view.state("mass")


def _noisy(weights: "Tensor", temperature: float, random: "Generator") -> "Tensor":
    """Return softmax((x + g) / temperature) as normalised (w / e) ** (1 / temperature).

    The weights are w = exp(x) up to a factor, and -ln e of an exponential e is Gumbel noise.

    Args:
        weights: [H, n, S], 0 where a query may not look.
    """
    import torch

    # -ln of an even draw is exponential, and four times as quick to come by as drawing one.
    drawn = torch.rand(weights.shape, generator=random).clamp_(min=_TINY).log_().neg_()
    odds = weights / drawn.to(weights.device).clamp_(min=_TINY)
    if temperature != 1:
        odds = (odds / odds.amax(-1, keepdim=True)) ** (1 / temperature)
    return odds / odds.sum(-1, keepdim=True)
