"""What every request has in common: validation, a stable identity, and who computes it."""

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from tokenarium.backend.runs.message import Message, refuse_surrogate

MOST_CHARACTERS = 1_000_000
MOST_MESSAGES = 256

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
        description="smollm2-135m-instruct, bundled/target, bundled/draft, local/NAME, a folder, "
        "a .gguf file, or a Hugging Face id."
    )
    dtype: DType = Field(
        "float32",
        title="Number format",
        description="Number format of the weights; statistics are always float32.",
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything drawn at random.")

    @property
    def reads_model(self) -> bool:
        """Whether a model is loaded for it; its runner is handed None where it is not."""
        return True

    @property
    def beside(self) -> tuple[str, ...]:
        """Names of further models that the run uses; its runner is handed them by name."""
        return ()

    @property
    def home(self) -> str:
        """Name of the model in whose queue it waits: its own, where it reads one; empty for
        none."""
        return self.model if self.reads_model else ""

    @property
    def tokenizers_read(self) -> tuple[str, ...]:
        """Names of tokenizers that are read without weights; its runner is handed them by name."""
        return ()

    @property
    def files_read(self) -> tuple[Path, ...]:
        """Files beside the models that the result depends on; they belong to the key."""
        return ()

    @property
    def given_text(self) -> str:
        """The text that somebody gave, by which the run is found again; empty where none was."""
        return ""

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """Slugs of the methods that it names, by family, by which the run is found again."""
        return {}

    @property
    def rendered(self) -> tuple["TextRequest", ...]:
        """What the model's chat template writes out: the ids of each belong to the key."""
        return ()


class TextRequest(ModelRequest):
    """A request about one model reading one text, or one conversation."""

    text: str = Field(
        "",
        max_length=MOST_CHARACTERS,
        description="The text the model reads; empty where messages are given.",
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
    messages: tuple[Message, ...] = Field(
        (),
        max_length=MOST_MESSAGES,
        validate_default=True,
        json_schema_extra={"since": 2},
        description='Turns in place of text, [{"role": "user", "content": "Hi"}, ...], written out '
        "by the model's own chat template; roles are system, user and assistant. After a user's "
        "turn the assistant's is begun; an assistant's turn at the end is left open.",
    )
    special_tokens: bool = Field(
        False,
        title="Read special tokens",
        json_schema_extra={"since": 2},
        description="Read what spells a special token, such as <|im_start|>, as that token; "
        "otherwise as plain characters.",
    )

    @property
    def given_text(self) -> str:
        """The text itself, or what the turns say."""
        return self.text or "\n".join(message.content for message in self.messages)

    @property
    def rendered(self) -> tuple["TextRequest", ...]:
        """The messages: a chat template may write today's date."""
        return (self,) if self.messages else ()

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
        return refuse_surrogate("text", text)

    @field_validator("messages")
    @classmethod
    def _text_or_messages(
        cls, messages: tuple[Message, ...], info: ValidationInfo
    ) -> tuple[Message, ...]:
        text = info.data.get("text")
        if text is None:  # refused already
            return messages
        if not messages and not text:
            raise ValueError("text is empty: give at least one character, or messages")
        if messages and text:
            raise ValueError(
                f"text and {len(messages)} messages are given: leave out one of the two"
            )
        if messages and info.data.get("chat_template"):
            raise ValueError(
                "chat_template=True wraps a text, and messages are rendered by the template "
                "anyway: leave chat_template out"
            )
        if sum(len(message.content) for message in messages) > MOST_CHARACTERS:
            raise ValueError(
                f"messages have more than {MOST_CHARACTERS:,} characters together: shorten them"
            )
        return messages
