"""The request for a region of one head's attention map."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from tokenarium.backend.runs.request import TextRequest


class RegionRequest(TextRequest):
    """Pool one head's attention over a rectangle, queries x keys, each range [start, stop)."""

    kind: ClassVar[str] = "region"

    layer: int = Field(ge=0, description="Layer, from 0.")
    head: int = Field(ge=0, description="Query head, from 0.")
    query_start: int = Field(ge=0, description="First query position.")
    query_stop: int = Field(ge=1, description="Position after the last query.")
    key_start: int = Field(ge=0, description="First key position.")
    key_stop: int = Field(ge=1, description="Position after the last key.")
    tiles: int = Field(64, ge=1, le=512, description="Most tiles a side.")

    @model_validator(mode="after")
    def _ranges_not_empty(self) -> Self:
        for side in ("query", "key"):
            start, stop = getattr(self, f"{side}_start"), getattr(self, f"{side}_stop")
            if stop <= start:
                raise ValueError(
                    f"{side}_stop={stop} is not above {side}_start={start}: choose a range of at "
                    "least one token"
                )
        return self
