"""The request for the heartbeat of one head."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from tokenarium.backend.runs.request import TextRequest


class HeartbeatRequest(TextRequest):
    """See when later tokens look at each token of a text, through one head."""

    kind: ClassVar[str] = "heartbeat"

    layer: int = Field(ge=0, description="Layer, from 0.")
    head: int = Field(ge=0, description="Query head, from 0.")
    threshold: float = Field(
        1.0, gt=0, le=1000, description="Attention from which a token counts as active."
    )
    measured_in: Literal["even shares", "weight"] = Field(
        "even shares",
        description="The threshold is a multiple of an even share, 1 / (number of keys the query "
        "sees), or a weight as in LazyEviction, where 0.0001 is used.",
    )
    bins: int = Field(256, ge=1, le=512, description="Most cells a side of the raster.")

    @model_validator(mode="after")
    def _weight_is_a_share(self) -> Self:
        if self.measured_in == "weight" and self.threshold > 1:
            raise ValueError(
                f"threshold={self.threshold} is above 1, the largest weight: choose at most 1, or "
                "measured_in='even shares'"
            )
        return self
