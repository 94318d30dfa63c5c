"""Keep the newest tokens only."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Chooses, NullScores, Scope

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView


class Recent(Policy):
    """A sliding window: what leaves it is gone, the first tokens too."""

    slug: ClassVar[str] = "recent"
    title: ClassVar[str] = "Recent only"
    explanation: ClassVar[str] = "Keeps the newest tokens and nothing else: a plain window."
    paper: ClassVar[str] = "Beltagy et al., 2020, arXiv:2004.05150"
    differs: ClassVar[str] = "the window is applied to a model that was not trained with it"
    scope: ClassVar[Scope] = "model"
    chooses: ClassVar[Chooses] = "recency"
    null_scores: ClassVar[NullScores] = "same"
    batches_layers: ClassVar[bool] = True

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        return press("StreamingLLMPress", compression_ratio, n_sink=0)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the positions: newer is kept."""
        return view.positions.float()
