"""The kind of run that pools a region of one head's attention."""

from tokenarium.backend.region.request import RegionRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=RegionRequest,
    result="tokenarium.backend.region.result:RegionResult",
    compute="tokenarium.backend.region.runner:region",
    title="Region of a map",
)
