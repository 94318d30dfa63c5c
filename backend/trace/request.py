"""The request for a trace."""

from typing import ClassVar

from pydantic import Field

from backend.requests import TextRequest


class TraceRequest(TextRequest):
    """Read a text once and measure every token, head and layer."""

    kind: ClassVar[str] = "trace"
    runner: ClassVar[str] = "backend.trace.runner:trace"
    result_class: ClassVar[str] = "backend.trace.result:TraceResult"

    top_k: int = Field(10, ge=1, le=100, description="Most likely next tokens kept per position.")
    tiles: int = Field(
        64, ge=1, le=256, description="Attention maps are pooled to at most this many tiles a side."
    )
    logit_lens: bool = Field(True, description="Decode every layer's residual stream.")
    sink_threshold: float = Field(
        0.3, gt=0, lt=1, description="A head with more mean mass on the first token is a sink head."
    )
