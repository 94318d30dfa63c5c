"""The kind of run that was made by another engine."""

from tokenarium.backend.imports.request import ImportRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=ImportRequest,
    result="tokenarium.backend.imports.result:ImportResult",
    compute="tokenarium.backend.imports.runner:import_figures",
    title="Import",
    usual={"model": ""},
)
