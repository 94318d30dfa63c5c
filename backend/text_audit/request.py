"""The request to audit a text that somebody else generated."""

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from tokenarium.backend.runs.message import Message, refuse_surrogate
from tokenarium.backend.runs.request import MOST_CHARACTERS, DType, TextRequest

if TYPE_CHECKING:
    from tokenarium.backend.speculation.distribution import Processors

MOST_IDS = 131_072
_ABOVE_ZERO = 1e-3
"""Rounding may put the log probability of a certain token so far above 0."""

TokenId = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class Sampling(BaseModel):
    """How the tokens were drawn, in the order in which it is applied: penalty, temperature, cuts.

    At temperature 0 the likeliest token was taken each time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: float = Field(
        0.0, ge=0, le=5, description="0 took the likeliest token; above, tokens were drawn."
    )
    top_k: int = Field(0, ge=0, le=1_000_000, description="Most tokens to draw from; 0 for all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Drawn from the likeliest tokens that hold this share."
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="Tokens below this share of the likeliest one were left out."
    )
    repetition_penalty: float = Field(
        1.0, gt=0, le=10, description="Divided the logits of tokens before; 1 changes nothing."
    )

    @property
    def processors(self) -> "Processors":
        """What is done to logits."""
        from tokenarium.backend.speculation.distribution import Processors

        return Processors(
            self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty
        )


class AuditRequest(TextRequest):
    """Read a text that another program generated, and judge whether the model can have written it.

    ``text``, ``messages`` or ``prompt_ids`` is what it continued; ``token_ids`` or ``continuation``
    is what it wrote.
    """

    kind: ClassVar[str] = "audit"

    prompt_ids: tuple[TokenId, ...] = Field(
        (),
        max_length=MOST_IDS,
        description="Token ids of the prompt, as the other program read it, in place of text.",
    )
    token_ids: tuple[TokenId, ...] = Field(
        (), max_length=MOST_IDS, description="Token ids of what was generated, the prompt's not."
    )
    continuation: str = Field(
        "",
        max_length=MOST_CHARACTERS,
        description="What was generated, as text, where its token ids are not known.",
    )
    logprobs: tuple[float, ...] = Field(
        (),
        max_length=MOST_IDS,
        description="Natural log probability that the other program gave each generated token.",
    )
    sampling: Sampling = Field(
        Sampling(), description="How its tokens were chosen: temperature, top_k, top_p, min_p, "
        "repetition_penalty.",
    )  # fmt: skip
    generated_in: DType | None = Field(
        None,
        title="Generated in",
        description="Number format in which it was generated, which says how close logits may "
        "change places; None for the one it is read in here.",
    )

    @property
    def given_text(self) -> str:
        """The prompt, or what was generated, where the prompt is ids."""
        return super().given_text or self.continuation

    @field_validator("continuation", mode="before")
    @classmethod
    def _no_surrogate(cls, text: object) -> object:
        return refuse_surrogate("continuation", text)

    @field_validator("messages")
    @classmethod
    def _text_or_messages(
        cls, messages: tuple[Message, ...], info: ValidationInfo
    ) -> tuple[Message, ...]:
        # Neither is right where the prompt is given as ids, which are validated later.
        if not messages and not info.data.get("text"):
            return messages
        return super()._text_or_messages(messages, info)

    @field_validator("logprobs", mode="before")
    @classmethod
    def _log_probabilities(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return () if given is None else given
        for at, value in enumerate(given):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or value > _ABOVE_ZERO:
                raise ValueError(
                    f"logprobs[{at}]={value!r:.40} is no log probability: give finite numbers of "
                    "at most 0, or leave logprobs out"
                )
        return given

    @model_validator(mode="after")
    def _one_prompt_and_one_answer(self) -> Self:
        prompts = sum(map(bool, (self.text or self.messages, self.prompt_ids)))
        if prompts != 1:
            many = "both are given" if prompts else "neither is given"
            raise ValueError(f"text (or messages) and prompt_ids: {many}: give one of them")
        if bool(self.token_ids) == bool(self.continuation):
            many = "both are given" if self.token_ids else "neither is given"
            raise ValueError(
                f"token_ids and continuation: {many}: give what was generated as ids, which say "
                "more, or as text"
            )
        if self.token_ids and self.logprobs and len(self.logprobs) != len(self.token_ids):
            raise ValueError(
                f"logprobs has {len(self.logprobs)} numbers and token_ids {len(self.token_ids)}: "
                "give one for each token, or none"
            )
        return self
