"""The kind of run that judges a text."""

from tokenarium.backend.judging.request import JudgeRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=JudgeRequest,
    result="tokenarium.backend.judging.result:JudgeResult",
    compute="tokenarium.backend.judging.runner:judge",
    title="Judge",
)
