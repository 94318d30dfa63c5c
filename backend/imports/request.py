"""The request to read what another engine reports of its own runs."""

from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from tokenarium.backend.imports.reader import Reader
from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.runs.request import ModelRequest

MOST_CHARACTERS = 1_000_000
AUTO = "auto"


class ImportRequest(ModelRequest):
    """Read the figures that another engine reports of drafting and verifying; no model is needed.

    vLLM's and SGLang's responses, llama.cpp's log, and JSON lines that any program can write.
    """

    kind: ClassVar[str] = "import"

    model: str = Field(
        "", max_length=4096, description="Name of the model, where the file does not say."
    )
    content: str = Field(
        max_length=MOST_CHARACTERS, description="A response, a log, or JSON lines, as text."
    )
    format: str = Field(
        AUTO, max_length=64, description="Slug of a format; auto finds out by what is there."
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

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The format, where it was chosen."""
        return {} if self.format == AUTO else {"format": (self.format,)}

    @field_validator("content", mode="before")
    @classmethod
    def _text(cls, content: object) -> object:
        if isinstance(content, str) and not content.strip():
            raise ValueError("content is empty: paste a response, a log or JSON lines, or a file")
        return refuse_surrogate("content", content)

    @model_validator(mode="after")
    def _known_format(self) -> "ImportRequest":
        if self.format != AUTO:
            known = sorted(reader.slug for reader in Reader.registry.all())
            if self.format not in known:
                raise ValueError(
                    f"format={self.format!r} is unknown: choose {', '.join([AUTO, *known])}"
                )
        return self
