"""What every request has in common: validation, a stable identity, and who computes it."""

import hashlib
import json
import re
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_SURROGATE = re.compile("[\ud800-\udfff]")

DType = Literal["float32", "bfloat16", "float16"]


class Request(BaseModel):
    """A frozen, validated question to the ``Lab``; ``kind`` names its kind of run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    """Name of this kind of run, as stored."""

    @property
    def past_context(self) -> bool:
        """Whether it may read more tokens than the model was trained for."""
        return False

    @property
    def depends_on_limit(self) -> bool:
        """Whether the token limit in force changes the result, so that it belongs to the key."""
        return False

    def key(self, *identity: str) -> str:
        """Return the SHA-256 of kind, every parameter and ``identity``, in hexadecimal.

        Args:
            identity: what else the result depends on: fingerprint of model and tokenizer, schema
                version, and device and library versions where it is timed.
        """
        content = [self.kind, stored_form(self), *identity]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def stored_form(declared: BaseModel) -> dict[str, Any]:
    """Return the values of a request or method, as JSON, in the form that a key is made of.

    A field that was added later says so, ``json_schema_extra={"since": 2}``, and is left out where
    it has its default: runs that were stored before it existed are still found.
    """
    left_out = set()
    for name, field in type(declared).model_fields.items():
        extra = field.json_schema_extra
        added = isinstance(extra, dict) and "since" in extra
        if added and getattr(declared, name) == field.get_default(call_default_factory=True):
            left_out.add(name)
    return declared.model_dump(mode="json", exclude=left_out)


class ModelRequest(Request):
    """A request about one model."""

    model: str = Field(
        description="bundled/target, bundled/draft, local/NAME, a folder, or a Hugging Face id."
    )
    dtype: DType = Field(
        "float32",
        title="Number format",
        description="Number format of the weights; statistics are always float32.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything drawn at random.")

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of further models that the run uses; its runner is handed them by name."""
        return ()

    @property
    def given_text(self) -> str:
        """The text that somebody gave, by which the run is found again; empty where none was."""
        return ""


class TextRequest(ModelRequest):
    """A request about one model reading one text."""

    text: str = Field(
        min_length=1, max_length=1_000_000, description="The text the model reads; not empty."
    )
    add_bos: bool | None = Field(
        None,
        title="Begin with BOS",
        description="Begin with the BOS token; None does what the tokenizer does by default.",
    )
    chat_template: bool = Field(
        False, description="Wrap the text as one user message of the model's chat template."
    )
    overflow: Literal["refuse", "keep_start", "keep_end", "exceed"] = Field(
        "refuse",
        title="Text over the limit",
        description="A text over the limit is refused, or cut to its start or end, and said; "
        "exceed reads past the model's trained context, where positions allow it.",
    )

    @property
    def given_text(self) -> str:
        """The text itself."""
        return self.text

    @property
    def past_context(self) -> bool:
        """Only where asked for."""
        return self.overflow == "exceed"

    @property
    def depends_on_limit(self) -> bool:
        """A text that may be cut gives another result under another limit."""
        return self.overflow in ("keep_start", "keep_end")

    @field_validator("text", mode="before")
    @classmethod
    def _no_unpaired_surrogate(cls, text: object) -> object:
        # Before pydantic's own check, which does not say where it is.
        if isinstance(text, str) and (found := _SURROGATE.search(text)):
            raise ValueError(
                f"text has the unpaired surrogate U+{ord(found[0]):04X} at character "
                f"{found.start()}, which no tokenizer can encode: remove it"
            )
        return text
