"""One turn of a conversation."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_SURROGATE = re.compile("[\ud800-\udfff]")

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


class Message(BaseModel):
    """One turn of a conversation: who says it, and what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role = Field(description="system, user or assistant.")
    content: str = Field(min_length=1, max_length=1_000_000, description="What is said.")

    @field_validator("content", mode="before")
    @classmethod
    def _no_unpaired_surrogate(cls, content: object) -> object:
        return refuse_surrogate("content", content)


def refuse_surrogate(name: str, text: object) -> object:
    """Return ``text`` as it is.

    Before pydantic's own check, which does not say where it is.

    Raises: ValueError if it has an unpaired surrogate, saying where.
    """
    if isinstance(text, str) and (found := _SURROGATE.search(text)):
        raise ValueError(
            f"{name} has the unpaired surrogate U+{ord(found[0]):04X} at character "
            f"{found.start()}, which no tokenizer can encode: remove it"
        )
    return text
