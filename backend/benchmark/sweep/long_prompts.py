"""What a budget takes at lengths that were not measured: computed from the model's sizes."""

from tokenarium.backend.benchmark.sweep.exercise_quantities import LENGTHS
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cost.memory import bytes_by_step
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel


def bytes_at(loaded: LoadedModel, policy: Policy, ratio: float) -> tuple[float, ...]:
    """Return the bytes of the cache right after a prompt of each of ``LENGTHS``.

    Layers that keep different sizes, windows of the model and room to grow are counted as a run
    holds them; see ``bytes_by_step`` for where a run differs by a few entries.

    Args:
        loaded: the model.
        policy: as asked for.
        ratio: share of the prompt that may be kept.
    """
    windows, sizes = capabilities.layers(loaded).windows, CacheSizes.of(loaded, 0)
    found = []
    for length in LENGTHS:
        budget = tokens_per_head(ratio, "ratio", length, sizes)
        fitted = policy.fitted(budget, len(windows), loaded.context)
        found.append(float(bytes_by_step(fitted, budget, length, 1, windows, sizes)[0]))
    return tuple(found)
