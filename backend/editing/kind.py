"""The kind of run that edits a prompt and uses its cache again."""

from tokenarium.backend.editing.request import EditRequest, TextEdit
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.example_texts import LIGHTHOUSE
from tokenarium.backend.runs.kind import Example, Kind

_BEGUN = "The password of the lighthouse is"

KIND = Kind(
    request=EditRequest,
    result="tokenarium.backend.editing.result:EditResult",
    compute="tokenarium.backend.editing.runner:edit_prompt",
    title="Edited cache",
    estimate="tokenarium.backend.editing.estimate:estimate_run",
    timed=True,
    examples=(
        Example(
            "another-password",
            "Another password",
            "The password is changed after the prompt was read: can its cache be mended?",
            EditRequest(
                model=DEFAULT_MODEL,
                text=f"{_BEGUN} maple. {LIGHTHOUSE}\n\n{_BEGUN}",
                edits=(
                    TextEdit(start=0, end=0, replacement="Listen well, and tell nobody. "),
                    TextEdit(start=6, end=7, replacement=" copper"),
                ),
                max_new_tokens=16,
            ),
        ),
    ),
)
