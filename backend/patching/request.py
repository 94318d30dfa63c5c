"""The request for activation patching between two prompts."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from tokenarium.backend.attribution.target_request import TargetRequest
from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.runs.request import MOST_CHARACTERS


class PatchRequest(TargetRequest):
    """Patch what a model did on one prompt into its reading of another, cell by cell."""

    kind: ClassVar[str] = "patch"

    other: str = Field(
        min_length=1,
        max_length=MOST_CHARACTERS,
        title="Other text",
        description="The corrupted prompt: the text with a few words changed, so that the model "
        "expects another token.",
    )
    target: int | None = Field(
        -1,
        description="Position of the token to explain, the same for both texts if negative: each "
        "is read up to it. null explains what the model finds likeliest after each.",
    )
    against: str | None = Field(
        None,
        max_length=64,
        title="Rather than",
        description="The token to compare with; None takes the other text's own at the target.",
    )
    unit: Literal["word", "token"] = Field(
        "word", description="What is patched together at a layer: the tokens of a word, or one."
    )
    into: Literal["other", "text"] = Field(
        "other",
        title="Patched into",
        description="other reads the other text with cells of the text put in (denoising: what is "
        "enough); text reads the text with cells of the other put in (noising: what is needed).",
    )

    @field_validator("other", mode="before")
    @classmethod
    def _spelled(cls, other: object) -> object:
        return refuse_surrogate("other", other)
