"""JSON lines that any program can write: one object a request, every field but one optional."""

import math
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tokenarium.backend.runs.message import Message, refuse_surrogate
from tokenarium.backend.runs.request import MOST_CHARACTERS, MOST_MESSAGES, DType
from tokenarium.backend.text_audit.request import MOST_IDS, AuditRequest, Sampling, TokenId

Count = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
MOST_ROUNDS = 100_000


class RecordedRound(BaseModel):
    """One verification."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    drafted: Count = Field(description="Tokens drafted.")
    accepted: Count = Field(description="How many of them were accepted, the first ones.")

    @model_validator(mode="after")
    def _no_more_than_drafted(self) -> Self:
        if self.accepted > self.drafted:
            raise ValueError(
                f"accepted={self.accepted} is above drafted={self.drafted}: no round accepts more "
                "than it drafts"
            )
        return self


class RecordedLine(BaseModel):
    """One request of any engine: a line of the file is this object as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str = Field("", max_length=256, description="Who generated it.")
    model: str = Field("", max_length=4096, description="Name of the model.")
    id: str = Field("", max_length=256, description="Name of the request.")
    prompt: str = Field("", max_length=MOST_CHARACTERS, description="What was continued, as text.")
    messages: tuple[Message, ...] = Field(
        (), max_length=MOST_MESSAGES, description="Turns of a conversation in place of a prompt."
    )
    prompt_ids: tuple[TokenId, ...] = Field(
        (), max_length=MOST_IDS, description="Token ids of the prompt; say more than its text."
    )
    token_ids: tuple[TokenId, ...] = Field(
        (), max_length=MOST_IDS, description="Token ids of what was generated."
    )
    text: str = Field("", max_length=MOST_CHARACTERS, description="What was generated, as text.")
    tokens: tuple[str, ...] = Field(
        (), max_length=MOST_IDS, description="The piece of text of each generated token."
    )
    logprobs: tuple[float, ...] = Field(
        (), max_length=MOST_IDS, description="Natural log probability of each generated token."
    )
    sampling: Sampling = Field(
        Sampling(), description="temperature, top_k, top_p, min_p and repetition_penalty."
    )
    dtype: DType | None = Field(None, description="Number format in which it was generated.")
    rounds: tuple[RecordedRound, ...] = Field(
        (),
        max_length=MOST_ROUNDS,
        description="Verifications in order, each with drafted and accepted.",
    )

    @field_validator("prompt", "text", mode="before")
    @classmethod
    def _no_surrogate(cls, text: object) -> object:
        return refuse_surrogate("text", text)

    @field_validator("logprobs", mode="before")
    @classmethod
    def _finite(cls, given: Any) -> Any:
        for at, value in enumerate(given if isinstance(given, list | tuple) else ()):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not math.isfinite(value):
                raise ValueError(f"logprobs[{at}]={value!r:.40} is no finite number")
        return given

    @model_validator(mode="after")
    def _something_and_fitting(self) -> Self:
        if not (self.token_ids or self.text or self.tokens or self.rounds):
            raise ValueError("none of token_ids, text, tokens and rounds is there: give one")
        lengths = {name: len(getattr(self, name)) for name in ("token_ids", "tokens", "logprobs")}
        known = {name: length for name, length in lengths.items() if length}
        if len(set(known.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in known.items())
            raise ValueError(f"{told}: give one entry for each token")
        return self

    def audit_request(self, model: str = "", dtype: DType = "float32") -> AuditRequest:
        """Return the request that audits this text.

        Args:
            model: to read it with; empty for the one it names.
            dtype: to read it in.

        Raises:
            ValueError: if no model, no prompt or no text is there.
        """
        name = model or self.model
        if not name:
            raise ValueError("model is missing in the line: name one")
        prompt: dict[str, Any] = {"prompt_ids": self.prompt_ids}
        if not self.prompt_ids:
            prompt = {"messages": self.messages} if self.messages else {"text": self.prompt}
        answer: dict[str, Any] = {"token_ids": self.token_ids}
        if not self.token_ids:
            answer = {"continuation": self.text or "".join(self.tokens)}
        logprobs = self.logprobs if self.token_ids else ()
        return AuditRequest(
            model=name,
            dtype=dtype,
            sampling=self.sampling,
            generated_in=self.dtype,
            logprobs=logprobs,
            **prompt,
            **answer,
        )
