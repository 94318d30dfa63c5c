"""Keep what queries to come are expected to attend to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats

FUTURE = 512
"""The paper's positions ahead."""


class ExpectedAttention(Policy):
    """Queries to come are taken as normally distributed, with the prompt's mean and covariance.

    For q ~ N(m, C) and logits s q k the expected weight of a key is proportional to
    exp(s m k + s^2 k C k / 2).
    """

    slug: ClassVar[str] = "expected_attention"
    title: ClassVar[str] = "Expected Attention"
    explanation: ClassVar[str] = (
        "Keeps the tokens that queries like the prompt's, at the positions ahead, would attend to, "
        "weighed by the size of their values."
    )
    paper: ClassVar[str] = "Devoto et al., 2025, arXiv:2510.00636"
    differs: ClassVar[str] = "entries are dropped once, after the prompt, not while decoding"
    when: ClassVar[When] = "prefill"
    needs: ClassVar[frozenset[Need]] = frozenset({"keys", "values", "queries", "rotary"})
    published: ClassVar[Mapping[str, Any]] = {"future": FUTURE, "sink": 4, "epsilon": 0.01}

    future: int = Field(
        0,
        ge=0,
        le=8192,
        description="Positions ahead over which queries are turned; 0 takes an eighth of the "
        "model's context, at most the paper's 512.",
    )
    sink: int = Field(
        4, ge=0, le=256, description="First tokens of the text that stay and are left out of means."
    )
    epsilon: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Added to the expected attention before it is multiplied by the value's norm.",
    )

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Set open positions ahead."""
        return self.model_copy(update={"future": self.future or min(FUTURE, max(1, context // 8))})

    def smallest_budget(self) -> int:
        """Return the sinks and one token."""
        return self.sink + 1

    def state_per_token(self) -> int:
        """Return one: the attention expected."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Compute the expected attention of every token after the sinks."""
        import torch
        import torch.nn.functional as F

        sink = min(self.sink, view.seen)  # the sinks are always held
        if sink == view.seen:
            view.put("expected", torch.zeros_like(view.positions))
            return
        keys = view.keys[:, sink:].float()
        mean, covariance = self._queries_ahead(view, sink)
        groups = keys.shape[0]
        along = mean.view(groups, -1, mean.shape[-1]) @ keys.mT  # [G, H / G, S]
        spread = covariance.unflatten(0, (groups, -1))  # [G, H / G, D, D]
        across = ((keys[:, None] @ spread) * keys[:, None]).sum(-1)
        logits = view.scaling * along + view.scaling**2 / 2 * across
        expected = view.per_kv_head(torch.softmax(logits, -1).flatten(0, 1))
        sizes = view.values[:, sink:].float().norm(dim=-1)
        view.put("expected", F.pad((expected + self.epsilon) * sizes, (sink, 0)))

    def _queries_ahead(self, view: "LayerView", sink: int) -> "tuple[Tensor, Tensor]":
        """Return the mean [H, D] and covariance [H, D, D] of queries at the positions ahead."""
        import torch

        first = view.seen - view.queries.shape[1]
        queries = view.queries[:, max(0, sink - first) :].float()
        place = torch.arange(max(first, sink), view.seen, device=queries.device)
        rotary = view.rotary
        if rotary is not None:
            queries = rotary.turned(queries, -place)
        mean = queries.mean(1)
        apart = queries - mean[:, None]
        covariance = apart.mT @ apart / apart.shape[1]
        if rotary is None:
            return mean, covariance
        ahead = torch.arange(view.seen, view.seen + self.future, device=queries.device)
        half_turned = rotary.averaged(covariance, ahead).mT
        return rotary.averaged(mean, ahead), rotary.averaged(half_turned, ahead).mT

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the sinks."""
        return Protected(self.sink)

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        return press(
            "ExpectedAttentionPress",
            compression_ratio,
            n_future_positions=self.future,
            n_sink=self.sink,
            epsilon=self.epsilon,
        )

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the expected attention times the norm of the value."""
        return view.state("expected")
