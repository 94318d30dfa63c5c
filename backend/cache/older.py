"""Which runs of older versions still answer their requests."""

from typing import TYPE_CHECKING

from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.runs.run import Run

if TYPE_CHECKING:
    from tokenarium.backend.cache.result import CacheResult


def cache_answers(run: Run, version: int) -> bool:
    """Return whether a run would be the same today.

    Until version 3 policies left layers with a window alone whatever their budget, SnapKV's own
    window was a quarter of the budget, and Ada-KV counted protected tokens into its floor.
    """
    if version >= 4:
        return True
    request = run.request
    result: CacheResult = run.result  # type: ignore[assignment]
    assert isinstance(request, CacheRequest)
    evicts = [label == "evict" for label in result.labels]
    windowed = bool((result.layer_budgets[evicts] < 0).any())
    return not windowed and not any(_changed(spec) for spec in request.policies)


def _changed(spec: PolicySpec) -> bool:
    """Return whether a policy keeps other tokens than it did."""
    chosen = spec.policy.model_dump()
    own = chosen.get("base_parameters") or chosen
    return spec.slug == "adakv" or own.get("window") == 0
