"""The kind of run that continues a prompt by several strategies."""

from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=DecodeRequest,
    result="tokenarium.backend.decoding.result:DecodeResult",
    compute="tokenarium.backend.decoding.runner:decode",
    title="Decode",
    timed=True,
)
