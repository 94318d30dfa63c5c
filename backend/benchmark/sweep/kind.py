"""The kinds of runs that try policies at several budgets, and one point of it step by step."""

from tokenarium.backend.benchmark.sweep.request import PointRequest, SweepRequest
from tokenarium.backend.runs.kind import Kind

KINDS = (
    Kind(
        request=SweepRequest,
        result="tokenarium.backend.benchmark.sweep.result:SweepResult",
        compute="tokenarium.backend.benchmark.sweep.runner:sweep",
        answers="tokenarium.backend.benchmark.sweep.older:sweep_answers",
        title="Sweep",
        estimate="tokenarium.backend.benchmark.sweep.estimate:estimate_run",
        timed=True,
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
