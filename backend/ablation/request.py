"""The request for cutting parts of a model out."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from tokenarium.backend.runs.request import TextRequest


class AblateRequest(TextRequest):
    """Cut out each head, attention, MLP and layer in turn, and see what a token loses by it."""

    kind: ClassVar[str] = "ablate"

    target: int | None = Field(
        -1,
        description="Position of the token to explain, negative from the end; null explains the "
        "token that the model finds likeliest after the text.",
    )
    against: str | None = Field(
        None,
        max_length=64,
        title="Rather than",
        description="Another token to compare with: then ln p(token) - ln p(other) is explained.",
    )
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

    @field_validator("target", mode="before")
    @classmethod
    def _null_is_none(cls, target: object) -> object:
        """Take what a command line says for None."""
        return None if target in ("null", "none", "None", "") else target

    @field_validator("against")
    @classmethod
    def _empty_is_none(cls, against: str | None) -> str | None:
        return against or None
