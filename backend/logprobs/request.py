"""The request to read a response with log probabilities."""

from typing import ClassVar

from pydantic import Field, field_validator

from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.runs.request import ModelRequest

MOST_CHARACTERS = 4_000_000


class LogprobsRequest(ModelRequest):
    """Read a response with log probabilities, as OpenAI's API gives it; no model is needed.

    Chat completions with ``logprobs`` and ``top_logprobs``, completions with ``logprobs``, and
    streams of either; the texts are then seen as those of a decoding run.
    """

    kind: ClassVar[str] = "logprobs"

    model: str = Field(
        "", max_length=4096, description="Name of the model, where the response does not say."
    )
    content: str = Field(
        max_length=MOST_CHARACTERS, description="The response as JSON, or its stream line by line."
    )
    name: str = Field("", max_length=256, description="Name of the file, to find it again.")

    @property
    def reads_model(self) -> bool:
        """Never."""
        return False

    @property
    def given_text(self) -> str:
        """The file's name, or the beginning of what was pasted."""
        return self.name or " ".join(self.content[:400].split())[:200]

    @field_validator("content", mode="before")
    @classmethod
    def _text(cls, content: object) -> object:
        if isinstance(content, str) and not content.strip():
            raise ValueError("content is empty: paste a response with logprobs, or choose a file")
        return refuse_surrogate("content", content)
