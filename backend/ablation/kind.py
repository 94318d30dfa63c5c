"""The kind of run that cuts parts of a model out."""

from tokenarium.backend.ablation.request import AblateRequest
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.kind import Example, Kind

KIND = Kind(
    request=AblateRequest,
    result="tokenarium.backend.ablation.result:AblateResult",
    compute="tokenarium.backend.ablation.runner:ablate",
    estimate="tokenarium.backend.ablation.estimate:estimate_run",
    title="Ablation",
    examples=(
        Example(
            "without-a-part",
            "Without a part",
            "Which heads, MLPs and layers does the model need to say Paris rather than Rome?",
            AblateRequest(
                model=DEFAULT_MODEL,
                text="The capital of France is the city of Paris",
                against="Rome",
            ),
        ),
    ),
)
