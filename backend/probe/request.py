"""The request for a probe of a model's heads."""

from typing import ClassVar

from pydantic import Field

from tokenarium.backend.runs.request import ModelRequest


class ProbeRequest(ModelRequest):
    """Read random tokens several times over, and measure which heads look back at the copies."""

    kind: ClassVar[str] = "probe"

    period: int = Field(64, ge=4, le=4096, description="Random tokens that are repeated.")
    repeats: int = Field(4, ge=2, le=16, description="How often they are read, the first included.")
