"""The request for the logit lens."""

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from tokenarium.backend.runs.request import TextRequest

Place = Annotated[int, Field(ge=0)]


class LensRequest(TextRequest):
    """Decode the residual stream of chosen layers after chosen tokens, as if it were the last."""

    kind: ClassVar[str] = "lens"

    rows: tuple[Place, ...] = Field(
        (), description="Positions of tokens, from 0; empty for the whole text."
    )
    layers: tuple[Place, ...] = Field(
        (), description="Layers that the stream enters, from 0; empty for all and the output."
    )
    exact: bool = Field(
        False,
        title="Float32 products",
        description="Multiply in float32 also where bfloat16 is faster.",
    )

    @field_validator("rows", "layers")
    @classmethod
    def _in_order(cls, places: tuple[int, ...]) -> tuple[int, ...]:
        """The same question has the same key."""
        return tuple(sorted(set(places)))
