"""The kind of run that explains a token by the text before it."""

from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.kind import Example, Kind

CURIE = (
    "Marie Curie was born in Warsaw and worked in Paris. She studied physics and mathematics, "
    "often hungry and always cold, and later she won two Nobel prizes. Every book about her says "
    "where it began: Marie Curie was born in Warsaw"
)

KIND = Kind(
    request=AttributeRequest,
    result="tokenarium.backend.attribution.result:AttributeResult",
    compute="tokenarium.backend.attribution.runner:attribute",
    estimate="tokenarium.backend.attribution.estimate:estimate_run",
    title="Attribution",
    examples=(
        Example(
            "why-warsaw",
            "Why Warsaw",
            "Which words made the model expect Warsaw rather than Paris?",
            AttributeRequest(
                model=DEFAULT_MODEL, text=CURIE, against="Paris", matmul_precision="medium"
            ),
        ),
        Example(
            "warsaw-by-heads",
            "Warsaw by heads",
            "Do the heads that write Warsaw read it where deleting words says it matters?",
            AttributeRequest(
                model=DEFAULT_MODEL,
                text=CURIE,
                against="Paris",
                method="logit_attribution",
                matmul_precision="medium",
            ),
        ),
    ),
)
