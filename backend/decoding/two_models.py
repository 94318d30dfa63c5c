"""What strategies have in common that read a text with a small model beside the one that writes."""

from pydantic import Field

from tokenarium.backend.decoding.small_model import SmallModel
from tokenarium.backend.decoding.strategy import Strategy


class TwoModels(Strategy):
    """A strategy with a small model of the same tokens; ``lane.second`` is it."""

    small_model: str = Field(
        "",
        max_length=300,
        description="Small model with the same tokens, such as bundled/draft; empty lets the first "
        "layers of the model itself stand for one.",
    )
    exit_share: float = Field(
        0.85,
        gt=0,
        lt=1,
        description="Share of the model's layers that stand for a small one, where none is named.",
    )

    @property
    def small(self) -> SmallModel:
        """Which model that is."""
        return SmallModel(self.small_model, self.exit_share)

    def most_small_passes(self, new_tokens: int) -> int:
        """One pass a token, and one over the text of plain decoding."""
        return new_tokens + 1
