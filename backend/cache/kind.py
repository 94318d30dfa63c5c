"""The kind of run that continues a prompt under KV-cache policies."""

from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.example_texts import LIGHTHOUSE
from tokenarium.backend.runs.kind import Example, Kind

KIND = Kind(
    request=CacheRequest,
    result="tokenarium.backend.cache.result:CacheResult",
    compute="tokenarium.backend.cache.runner:follow_policies",
    title="Cache",
    answers="tokenarium.backend.cache.older:cache_answers",
    compare="tokenarium.backend.comparison.cache_runs:compare_cache_runs",
    estimate="tokenarium.backend.cache.estimate:estimate_run",
    timed=True,
    examples=(
        Example(
            "what-is-kept",
            "What is kept",
            "Four ways to keep 48 of these tokens: which still writes what the full cache writes?",
            CacheRequest(
                model=DEFAULT_MODEL,
                text=LIGHTHOUSE,
                policies=tuple(
                    PolicySpec(slug=slug)
                    for slug in ("full", "recent", "streaming_llm", "h2o", "snapkv")
                ),
                budget=48,
                max_new_tokens=48,
            ),
        ),
    ),
)
