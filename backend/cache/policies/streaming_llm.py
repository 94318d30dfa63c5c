"""Keep the first tokens and a window of the newest."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall, around, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Chooses, NullScores, Positions, Protected, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView


class StreamingLLM(Policy):
    """Attention sinks stay, the middle goes, and keys move together."""

    slug: ClassVar[str] = "streaming_llm"
    title: ClassVar[str] = "StreamingLLM"
    explanation: ClassVar[str] = (
        "Keeps the first tokens, on which attention rests, and a window of the newest."
    )
    paper: ClassVar[str] = "Xiao et al., 2023, arXiv:2309.17453"
    scope: ClassVar[Scope] = "model"
    chooses: ClassVar[Chooses] = "recency"
    null_scores: ClassVar[NullScores] = "same"
    batches_layers: ClassVar[bool] = True

    positions: Positions = Field(
        "rolled", description="Where kept keys stand; the paper counts positions in the cache."
    )
    sink: int = Field(4, ge=0, le=256, description="First tokens of the text that always stay.")

    def smallest_budget(self) -> int:
        """Return the sinks and one token of window."""
        return self.sink + 1

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return the sinks."""
        return Protected(self.sink)

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        plain = press("StreamingLLMPress", compression_ratio, n_sink=self.sink)
        return around("KeyRerotationPress", plain) if self.positions == "rolled" else plain

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the positions: newer is kept."""
        return view.positions.float()
