"""The request for a trace."""

from typing import Annotated, ClassVar

from pydantic import Field

from tokenarium.backend.runs.request import TextRequest


class TraceRequest(TextRequest):
    """Read a text once and measure every token, head and layer."""

    kind: ClassVar[str] = "trace"

    top_k: int = Field(
        10,
        ge=1,
        le=100,
        title="Likely tokens kept",
        description="Most likely next tokens kept per position.",
    )
    tiles: int = Field(
        64,
        ge=1,
        le=256,
        title="Map tiles",
        description="Attention maps are pooled to at most this many tiles a side.",
    )
    logit_lens: bool = Field(
        False,
        description="Decode every layer's residual stream; a lens run does so on demand.",
    )
    sink_threshold: float = Field(
        0.3, gt=0, lt=1, description="A head with more mean mass on the first token is a sink head."
    )
    forgetting: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.999, 0.99, 0.95, 0.9),
        max_length=8,
        title="Forgetting factors",
        description="Factors by which accumulated attention shrinks per token (A2SF).",
    )
