"""The kind of run that follows one token."""

from tokenarium.backend.follow.request import FollowRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=FollowRequest,
    result="tokenarium.backend.follow.result:FollowResult",
    compute="tokenarium.backend.follow.runner:follow",
    title="Follow a token",
)
