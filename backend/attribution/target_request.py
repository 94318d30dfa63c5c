"""What every request about one expected token asks: which token, and rather than which other."""

from pydantic import Field, field_validator

from tokenarium.backend.runs.request import TextRequest


class TargetRequest(TextRequest):
    """A text, a token that it made the model expect, and perhaps another one to compare with."""

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

    @field_validator("target", mode="before")
    @classmethod
    def _null_is_none(cls, target: object) -> object:
        """Take what a command line says for None."""
        return None if target in ("null", "none", "None", "") else target

    @field_validator("against")
    @classmethod
    def _empty_is_none(cls, against: str | None) -> str | None:
        return against or None
