"""The request for an edited prompt whose cache is used again."""

import itertools
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tokenarium.backend.runs.request import TextRequest

MOST_EDITS = 16


class TextEdit(BaseModel):
    """The tokens ``start`` to ``end`` of a prompt, the latter not included, become other text.

    Where both are the same, the text is inserted before that token; where it is empty, the tokens
    are deleted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: int = Field(ge=0, le=10_000_000, description="First token that is replaced.")
    end: int = Field(ge=0, le=10_000_000, description="Token after the last that is replaced.")
    replacement: str = Field(
        "", max_length=10_000, description="Text that stands there afterwards."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.end < self.start:
            raise ValueError(
                f"end={self.end} is before start={self.start}: give the first token that is "
                "replaced and the one after the last"
            )
        if self.end == self.start and not self.replacement:
            raise ValueError(
                f"start={self.start} replaces nothing by nothing: give a replacement, or a later "
                "end"
            )
        return self


class EditRequest(TextRequest):
    """Edit a prompt that was read already, and use its KV cache again instead of reading anew."""

    kind: ClassVar[str] = "edit"

    edits: tuple[TextEdit, ...] = Field(
        min_length=1,
        max_length=MOST_EDITS,
        description="(start, end, replacement) in tokens of the prompt, the end not included, from "
        "front to back; the last token of the prompt stays.",
    )
    max_new_tokens: int = Field(
        16,
        ge=1,
        le=1024,
        description="Tokens that the model writes after the edited prompt; all caches are compared "
        "along them.",
    )

    @field_validator("edits", mode="before")
    @classmethod
    def _by_name(cls, edits: Any) -> Any:
        """Take (start, end, replacement) for an edit too."""
        if not isinstance(edits, list | tuple):
            return edits
        names = ("start", "end", "replacement")
        return tuple(
            dict(zip(names, edit, strict=True))
            if isinstance(edit, list | tuple) and len(edit) == len(names)
            else edit
            for edit in edits
        )

    @field_validator("edits")
    @classmethod
    def _front_to_back(cls, edits: tuple[TextEdit, ...]) -> tuple[TextEdit, ...]:
        for before, edit in itertools.pairwise(edits):
            if edit.start < before.end or edit.start == before.start:
                raise ValueError(
                    f"edits has start={edit.start} after end={before.end}: give edits from front "
                    "to back that do not overlap"
                )
        return edits
