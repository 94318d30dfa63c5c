"""Keep what the end of the prompt attends to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import NullScores, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats, Want

WINDOW = 64
"""The window of the authors' settings, tokens; longer ones must be asked for."""


class SnapKV(Policy):
    """The closing tokens of the prompt vote once for those before them; neighbours share votes."""

    slug: ClassVar[str] = "snapkv"
    title: ClassVar[str] = "SnapKV"
    explanation: ClassVar[str] = (
        "Keeps the prompt's last tokens and those that they attend to most, chosen once after the "
        "prompt."
    )
    paper: ClassVar[str] = "Li et al., 2024, arXiv:2404.14469"
    differs: ClassVar[str] = (
        "query heads that share a KV head are joined, so that each KV head keeps one set"
    )
    when: ClassVar[When] = "prefill"
    null_scores: ClassVar[NullScores] = "even"
    published: ClassVar[Mapping[str, Any]] = {"window": WINDOW, "kernel": 5, "pooling": "mean"}

    window: int = Field(
        0,
        ge=0,
        le=1024,
        description="Closing tokens of the prompt that vote and stay; 0 takes a sixteenth of the "
        "budget, at most the paper's 64.",
    )
    kernel: int = Field(
        5, ge=1, le=63, description="Neighbouring tokens that share their votes; odd."
    )
    pooling: Literal["mean", "max"] = Field(
        "mean", description="Whether neighbours share the mean of their votes or the largest."
    )

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"kernel={kernel} has no middle: take {kernel - 1} or {kernel + 1}")
        return kernel

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Set an open window: the authors' 64 of 1,024, and as small a part of smaller budgets.

        A window stays whatever it is worth, so that a long one leaves little room for what it votes
        for. Divergence of SmolLM2-135M's answers at 64 of 256 tokens, with a window of 1, 4, 16
        and 32: 0.93, 1.13, 1.19, 2.10 nats (passkey); 1.13, 1.27, 1.76, 2.18 (needles).
        """
        own = self.window or min(WINDOW, max(1, budget // 16))
        return self.model_copy(update={"window": own})

    def smallest_budget(self) -> int:
        """Return the window and one token."""
        return (self.window or 1) + 1

    def want(self, length: int) -> "Want":
        """Return the attention of the window."""
        from tokenarium.kernels.attention_stats import Want

        return Want(last=min(self.window, length))

    def null_baseline(self) -> NullScores:
        """Return what even attention gives; a maximum over neighbours must be drawn."""
        known = super().null_baseline()
        return "drawn" if known == "even" and self.pooling == "max" else known

    def state_per_token(self) -> int:
        """Return one: the votes."""
        return 1

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Count the votes for the tokens before the window."""
        import torch.nn.functional as F

        assert stats.last is not None
        held = stats.last.shape[1]
        voters = min(self.window, held)
        votes = stats.last[:, : held - voters] / voters
        if votes.shape[1]:
            pool = F.avg_pool1d if self.pooling == "mean" else F.max_pool1d
            votes = pool(votes[None], self.kernel, stride=1, padding=self.kernel // 2)[0]
        view.put("votes", view.per_kv_head(F.pad(votes, (0, voters))))

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the window."""
        return Protected(newest=self.window)

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        differs = ("Its neighbours share the mean of their votes.",) * (self.pooling == "max")
        return press(
            "SnapKVPress",
            compression_ratio,
            differs=differs,
            window_size=self.window,
            kernel_size=self.kernel,
        )

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the votes; the window has none and stays."""
        return view.state("votes")
