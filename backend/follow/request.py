"""The request to follow one token."""

from typing import ClassVar

from pydantic import Field

from tokenarium.backend.runs.request import TextRequest


class FollowRequest(TextRequest):
    """See where a token looks and which later tokens look at it, through one head."""

    kind: ClassVar[str] = "follow"

    layer: int = Field(ge=0, description="Layer, from 0.")
    head: int = Field(ge=0, description="Query head, from 0.")
    token: int = Field(ge=0, description="Position of the token.")
