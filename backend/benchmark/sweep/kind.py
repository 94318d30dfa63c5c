"""The kinds of runs that try policies at several budgets, and one point of it step by step."""

from tokenarium.backend.benchmark.sweep.request import PointRequest, SweepRequest
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.kind import Example, Kind

KINDS = (
    Kind(
        request=SweepRequest,
        result="tokenarium.backend.benchmark.sweep.result:SweepResult",
        compute="tokenarium.backend.benchmark.sweep.runner:sweep",
        answers="tokenarium.backend.benchmark.sweep.older:sweep_answers",
        title="Sweep",
        compare="tokenarium.backend.comparison.sweeps:compare_sweeps",
        estimate="tokenarium.backend.benchmark.sweep.estimate:estimate_run",
        timed=True,
        parts="tokenarium.backend.benchmark.sweep.parts:SweepParts",
        examples=(
            Example(
                "a-hidden-number",
                "A hidden number",
                "A number stands somewhere in a long text: which policies still hold it?",
                SweepRequest(
                    model=DEFAULT_MODEL,
                    task="passkey",
                    policies=tuple(
                        PolicySpec(slug=slug)
                        for slug in ("recent", "streaming_llm", "h2o", "snapkv", "tova")
                    ),
                    budgets=(0.5, 0.25, 0.1),
                    depths=(0.5,),
                    length=192,
                    trials=20,
                ),
            ),
            Example(
                "the-first-token-leaves",
                "The first token leaves",
                "A text is read past the cache's size: what happens when its first token is "
                "dropped, and when it is kept?",
                SweepRequest(
                    model=DEFAULT_MODEL,
                    task="perplexity",
                    parameters={"predicted": 128},
                    policies=tuple(PolicySpec(slug=slug) for slug in ("recent", "streaming_llm")),
                    budgets=(0.5, 0.25),
                    length=192,
                    trials=2,
                ),
            ),
        ),
    ),
    Kind(
        request=PointRequest,
        result="tokenarium.backend.cache.result:CacheResult",
        compute="tokenarium.backend.benchmark.sweep.course:follow_point",
        answers="tokenarium.backend.benchmark.sweep.older:point_answers",
        title="Point of a sweep",
        timed=True,
    ),
)
