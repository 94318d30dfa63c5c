"""The shipped example runs are what the code computes on the shipped model today."""

from collections.abc import Iterator

import numpy as np
import pytest

from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.runs.examples import FOLDER, read
from tokenarium.backend.runs.kind import KINDS, Example
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.settings import Settings
from tokenarium.backend.trace.result import TraceResult

EXAMPLES = KINDS.find("trace").examples
CACHE_EXAMPLES = KINDS.find("cache").examples
REMEDY = "run 'make examples' and commit assets/examples"
SHORTEST, LONGEST = 64, 200  # tokens: below 64 no sink rate is stated; above, files grow large
# Another processor rounds otherwise, which may swap two candidates of nearly the same probability.
SAME_INTEGERS = 0.98


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(Settings(database="duckdb:///:memory:", device="cpu", hosted=False)) as lab:
        yield lab


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.slug)
def test_example_belongs_to_the_shipped_model(example: Example, lab: Lab) -> None:
    assert (FOLDER / f"{example.slug}.npz").is_file(), REMEDY
    run = read(example)
    source = lab._registry.resolve(example.request.model)
    assert run.environment["fingerprint"] == lab._registry.fingerprint(source), REMEDY
    assert run.environment["schema_version"] == TraceResult.schema_version, REMEDY
    assert run.request == example.request, REMEDY
    assert example in lab.examples("trace")
    assert lab.run(example.request).id == example.run_id
    size = sum((FOLDER / f"{example.slug}.{kind}").stat().st_size for kind in ("npz", "json"))
    assert size < 2**20


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.slug)
def test_example_is_what_the_code_computes(example: Example, lab: Lab) -> None:
    shipped = read(example).result
    lab.delete(example.run_id)
    computed = lab.run(example.request)
    assert not computed.cached
    assert SHORTEST <= shipped.length <= LONGEST
    assert shipped.token_text == computed.result.token_text
    assert shipped.sink_rate == pytest.approx(computed.result.sink_rate, abs=0.05)
    for name, array in computed.result.arrays().items():
        stored = shipped.arrays()[name]
        assert stored.dtype == array.dtype
        if array.dtype.kind == "f":
            np.testing.assert_allclose(stored, array, rtol=1e-3, atol=1e-4, err_msg=name)
        else:
            assert np.mean(stored == array) >= SAME_INTEGERS, name


@pytest.mark.parametrize("example", CACHE_EXAMPLES, ids=lambda example: example.slug)
def test_cache_example_belongs_to_the_shipped_model_and_is_small(
    example: Example, lab: Lab
) -> None:
    run = read(example)
    source = lab._registry.resolve(example.request.model)
    assert run.environment["fingerprint"] == lab._registry.fingerprint(source), REMEDY
    assert run.environment["schema_version"] == CacheResult.schema_version, REMEDY
    assert run.request == example.request, REMEDY
    assert lab.examples("cache") == CACHE_EXAMPLES
    assert lab.open(example.run_id).request == example.request
    size = sum((FOLDER / f"{example.slug}.{kind}").stat().st_size for kind in ("npz", "json"))
    assert size < 300_000


def test_cache_example_is_what_the_code_computes(lab: Lab) -> None:
    (example,) = CACHE_EXAMPLES
    shipped = read(example).result
    assert isinstance(shipped, CacheResult)
    few = 6
    request = example.request.model_copy(update={"max_new_tokens": few})
    computed = lab.run(request).result
    assert isinstance(computed, CacheResult)
    assert shipped.arrays().keys() == computed.arrays().keys(), REMEDY
    np.testing.assert_array_equal(shipped.token_ids[:, :few], computed.token_ids, REMEDY)
    np.testing.assert_array_equal(shipped.prompt_ids, computed.prompt_ids, REMEDY)
    np.testing.assert_array_equal(shipped.entries[:, :few], computed.entries, REMEDY)
    np.testing.assert_allclose(
        shipped.kl_nats[:, :few], computed.kl_nats, rtol=1e-3, atol=1e-4, err_msg=REMEDY
    )
