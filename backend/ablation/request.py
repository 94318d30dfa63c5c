"""The request for cutting parts of a model out."""

from typing import ClassVar, Literal

from pydantic import Field

from tokenarium.backend.attribution.target_request import TargetRequest


class AblateRequest(TargetRequest):
    """Cut out each head, attention, MLP and layer in turn, and see what a token loses by it."""

    kind: ClassVar[str] = "ablate"

    ablation: Literal["mean", "zero", "resample"] = Field(
        "mean",
        title="Cut by",
        description="What a part writes instead, at every position: mean, its mean over the text; "
        "zero, nothing; resample, what it wrote where every token of the text was drawn anew.",
    )
    draws: int = Field(4, ge=2, le=8, description="Texts drawn anew, of resample.")
    top: int | None = Field(
        None,
        ge=1,
        le=10_000,
        title="Heads cut in the check",
        description="How many of the highest heads the check cuts; None takes a twentieth of them.",
    )
