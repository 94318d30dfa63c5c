"""The kind of run that lets a model compute less."""

from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.reduction.request import ReduceRequest, ReductionSpec
from tokenarium.backend.runs.kind import Example, Kind

KIND = Kind(
    request=ReduceRequest,
    result="tokenarium.backend.reduction.result:ReduceResult",
    compute="tokenarium.backend.reduction.runner:reduce",
    estimate="tokenarium.backend.reduction.estimate:estimate_run",
    title="Reduction",
    examples=(
        Example(
            "half-of-the-channels",
            "Half of the channels",
            "What does it cost to leave out half of the MLPs' channels, the weakest at each token?",
            ReduceRequest(model=DEFAULT_MODEL),
        ),
        Example(
            "every-routing",
            "Every routing of eight layers",
            "Each token through whole, small or no layers: how good is the best of 6,561 ways?",
            ReduceRequest(
                model="bundled/target",
                reduction=ReductionSpec(slug="duo_llm", parameters={"groups": 8}),
            ),
        ),
    ),
)
