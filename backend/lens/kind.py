"""The kind of run that decodes residual streams."""

from tokenarium.backend.lens.request import LensRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=LensRequest,
    result="tokenarium.backend.lens.result:LensResult",
    compute="tokenarium.backend.lens.runner:lens",
    title="Logit lens",
)
