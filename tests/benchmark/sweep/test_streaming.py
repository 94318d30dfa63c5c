"""The streaming experiment on the bundled model: what leaves with the first tokens.

The effect is that of Xiao et al., 2023, arXiv:2309.17453.
"""

import pytest

from tokenarium.backend.benchmark.sweep.request import SweepRequest
from tokenarium.backend.benchmark.sweep.result import SweepResult
from tokenarium.backend.benchmark.sweep.runner import sweep
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.settings import PROJECT

WINDOW, PREDICTED = 64, 160


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    folder = PROJECT / "assets" / "models" / "target"
    return load(ModelSource("bundled/target", folder, None, "bundled"), "float32", "cpu", 1024)


WITH_SINKS = (
    PolicySpec("recent"),
    PolicySpec("streaming_llm", sink=4),
    PolicySpec("streaming_llm", sink=4, positions="original"),
)


def stream(loaded: LoadedModel, *policies: PolicySpec) -> SweepResult:
    request = SweepRequest(
        model="bundled/target",
        task="perplexity",
        parameters={"predicted": PREDICTED},
        policies=policies,
        budgets=(1.0,),
        length=WINDOW,
        trials=2,
    )
    return sweep(request, loaded, 1024, lambda _: None, CancelToken())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_four_sinks_bring_a_window_nearer_to_the_full_cache(loaded) -> None:
    """This small model rests less on its first tokens than large ones: no jump, a difference."""
    result = stream(loaded, *WITH_SINKS)
    full, recent, rolled, original = result.kl_nats
    assert full < 1e-4
    assert rolled < recent
    assert original < recent
    assert (result.perplexity < 1.2 * result.perplexity[0]).all()
    assert result.cache_bytes[1:].max() < 0.5 * result.cache_bytes[0]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_window_without_gaps_is_the_same_rolled_or_not(loaded) -> None:
    """Rotary attention sees distances alone."""
    result = stream(loaded, PolicySpec("recent"), PolicySpec("recent", positions="rolled"))
    _, original, rolled = result.answer_nats
    assert rolled.tolist() == pytest.approx(original.tolist(), rel=1e-4, abs=1e-4)
