"""The requests for segmentations of a text, and for the next byte of a prefix."""

import re
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.models.names import STAND_IN
from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.tokenization.characters import WORDS, Task
from tokenarium.backend.tokenization.segmenter import Segmenter

MOST_CHARACTERS = 20_000
MOST_TOKENIZERS = 4
MOST_SEGMENTERS = 12
MOST_PREFIX = 4_000
MOST_WORDS = 64
_LETTERS = re.compile(r"[A-Za-z]{2,24}")


class SegmenterSpec(MethodSpec[Segmenter]):
    """A segmenter by its slug, with parameters: ``SegmenterSpec("stochastok", share=0.3)``."""

    family: ClassVar[type[Method]] = Segmenter

    @property
    def segmenter(self) -> Segmenter:
        """The segmenter with its parameters."""
        return self.method


class TokenizeRequest(ModelRequest):
    """Cut a text into tokens by several tokenizers and segmenters, without weights or scored."""

    kind: ClassVar[str] = "tokenize"

    model: str = Field(
        "",
        description="The model that says what each segmentation costs, in nats per byte; empty for "
        "none: no weights are read then.",
    )
    text: str = Field(min_length=1, max_length=MOST_CHARACTERS, description="The text that is cut.")
    tokenizers: tuple[str, ...] = Field(
        (DEFAULT_MODEL,),
        min_length=1,
        max_length=MOST_TOKENIZERS,
        description="Names of models whose tokenizers are read, or outside a public page the path "
        "of a tokenizer.json, or of a file of tiktoken named by its encoding, such as "
        "cl100k_base.tiktoken.",
    )
    segmenters: tuple[SegmenterSpec, ...] = Field(
        (SegmenterSpec(slug="native"),),
        min_length=1,
        max_length=MOST_SEGMENTERS,
        description="Segmenters, each by its slug or with its parameters.",
    )

    @property
    def reads_model(self) -> bool:
        """Only where one says what segmentations cost."""
        return bool(self.model)

    @property
    def home(self) -> str:
        """The model's own queue; without a model, that of one that is always there."""
        return self.model or STAND_IN

    @property
    def tokenizers_read(self) -> tuple[str, ...]:
        """The tokenizers."""
        return self.tokenizers

    @property
    def given_text(self) -> str:
        """The text."""
        return self.text

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The segmenters."""
        return {"segmenter": tuple(dict.fromkeys(spec.slug for spec in self.segmenters))}

    @field_validator("model", mode="before")
    @classmethod
    def _none_is_empty(cls, model: object) -> object:
        return "" if model is None else model

    @field_validator("text", mode="before")
    @classmethod
    def _no_unpaired_surrogate(cls, text: object) -> object:
        return refuse_surrogate("text", text)

    @field_validator("segmenters", mode="before")
    @classmethod
    def _slugs_too(cls, segmenters: Any) -> Any:
        if not isinstance(segmenters, list | tuple):
            return segmenters
        return tuple(SegmenterSpec(slug=s) if isinstance(s, str) else s for s in segmenters)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for field in ("tokenizers", "segmenters"):
            given = getattr(self, field)
            for number, one in enumerate(given):
                if one in given[:number]:
                    named = getattr(one, "slug", one)
                    raise ValueError(f"{field} has {named} twice: change one or leave it out")
        return self


class NextByteRequest(ModelRequest):
    """Say which byte comes after a prefix, exactly and from the next token alone."""

    kind: ClassVar[str] = "next_byte"

    prefix: str = Field(
        min_length=1,
        max_length=MOST_PREFIX,
        description="The text so far; it may end inside a word.",
    )

    @property
    def given_text(self) -> str:
        """The prefix."""
        return self.prefix

    @property
    def tokenizers_read(self) -> tuple[str, ...]:
        """The model's own."""
        return (self.model,)

    @field_validator("prefix", mode="before")
    @classmethod
    def _no_unpaired_surrogate(cls, text: object) -> object:
        return refuse_surrogate("prefix", text)


class CharactersRequest(ModelRequest):
    """Ask about the letters of words, by the probability of each answer, nothing generated."""

    kind: ClassVar[str] = "characters"

    words: tuple[str, ...] = Field(
        WORDS,
        min_length=1,
        max_length=MOST_WORDS,
        description="Words of 2 to 24 letters; each gives two questions.",
    )
    task: Task = Field(
        "count",
        title="Question",
        description="count: how many times a letter occurs; find: at which position.",
    )
    shots: int = Field(
        4, ge=0, le=4, title="Examples", description="Answered questions that stand before each."
    )

    @property
    def given_text(self) -> str:
        """The words."""
        return " ".join(self.words)

    @property
    def tokenizers_read(self) -> tuple[str, ...]:
        """The model's own."""
        return (self.model,)

    @field_validator("words")
    @classmethod
    def _are_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            if not _LETTERS.fullmatch(word):
                raise ValueError(
                    f"words has {word[:30]!r}: give words of 2 to 24 letters from a to z"
                )
        return words
