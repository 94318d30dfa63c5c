"""The kind of run that edits a prompt and uses its cache again."""

from tokenarium.backend.editing.request import EditRequest
from tokenarium.backend.runs.kind import Kind

KIND = Kind(
    request=EditRequest,
    result="tokenarium.backend.editing.result:EditResult",
    compute="tokenarium.backend.editing.runner:edit_prompt",
    title="Edited cache",
    timed=True,
)
