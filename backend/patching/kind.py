"""The kind of run that patches one prompt's activations into another."""

from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.patching.request import PatchRequest
from tokenarium.backend.runs.kind import Example, Kind

KIND = Kind(
    request=PatchRequest,
    result="tokenarium.backend.patching.result:PatchResult",
    compute="tokenarium.backend.patching.runner:patch",
    estimate="tokenarium.backend.patching.estimate:estimate_run",
    title="Activation patching",
    examples=(
        Example(
            "where-paris-is",
            "Where Paris is",
            "At which word and layer does the model know which capital is asked for?",
            PatchRequest(
                model=DEFAULT_MODEL,
                text="The capital of France is the city of Paris",
                other="The capital of Italy is the city of Rome",
            ),
        ),
    ),
)
