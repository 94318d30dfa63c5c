"""The request for new tokens in an old model."""

from typing import Any, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.tokenization.new_tokens.initialiser import Initialiser

MOST_CHARACTERS = 4_000
MOST_TOKENS = 32
MOST_LEARNED = 128
MOST_CORPUS = 20_000


class InitialiserSpec(MethodSpec[Initialiser]):
    """An initialiser by its slug, with parameters: ``InitialiserSpec("token_adapt", share=0)``."""

    family: ClassVar[type[Method]] = Initialiser


class NewTokensRequest(ModelRequest):
    """Give a model new tokens for words that it spells in pieces, and say what that costs it."""

    kind: ClassVar[str] = "new_tokens"

    text: str = Field(
        min_length=1, max_length=MOST_CHARACTERS, description="The text that is cut and scored."
    )
    words: tuple[str, ...] = Field(
        (),
        max_length=MOST_TOKENS,
        description="Words of the text that become one token each; empty for those that save most.",
    )
    most: int = Field(
        8, ge=1, le=MOST_LEARNED, description="New tokens where no words are named, at most."
    )
    corpus: str = Field(
        "",
        max_length=MOST_CORPUS,
        description="A text, in another language for example: merges are trained on it on top of "
        "the model's own, and what they make of the text becomes new tokens; empty for words.",
        json_schema_extra={"since": 2},
    )
    merges: int = Field(
        500,
        ge=1,
        le=8_000,
        description="Merges that are trained on `corpus`, at most.",
        json_schema_extra={"since": 2},
    )
    initialisers: tuple[InitialiserSpec, ...] = Field(
        tuple(InitialiserSpec(slug=s) for s in ("token_adapt", "mean_of_pieces", "random_row")),
        min_length=1,
        max_length=8,
        description="How the rows of the new tokens are made, each by its slug or with parameters.",
    )

    @property
    def given_text(self) -> str:
        """The text."""
        return self.text

    @property
    def tokenizers_read(self) -> tuple[str, ...]:
        """The model's own."""
        return (self.model,)

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The initialisers."""
        return {"initialiser": tuple(dict.fromkeys(spec.slug for spec in self.initialisers))}

    @field_validator("text", "corpus", mode="before")
    @classmethod
    def _no_unpaired_surrogate(cls, text: object, info: ValidationInfo) -> object:
        return refuse_surrogate(info.field_name or "text", text)

    @model_validator(mode="after")
    def _words_or_merges(self) -> Self:
        if self.words and self.corpus:
            raise ValueError("words and corpus are both given: leave one empty")
        return self

    @field_validator("words")
    @classmethod
    def _are_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for number, word in enumerate(words):
            if not word.strip() or len(word) > 64 or word != word.strip():
                raise ValueError(f"words has {word[:30]!r}: give words without spaces around them")
            if word in words[:number]:
                raise ValueError(f"words has {word[:30]!r} twice: leave one out")
        return words

    @field_validator("initialisers", mode="before")
    @classmethod
    def _slugs_too(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        return tuple(InitialiserSpec(slug=s) if isinstance(s, str) else s for s in given)
