"""What holds of every shipped run, whichever model made it."""

import numpy as np

from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.runs.examples import FOLDER, read
from tokenarium.backend.runs.kind import KINDS, Example, kind_of
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.tokenization.new_tokens.result import NewTokensResult
from tokenarium.backend.trace.result import TraceResult

REMEDY = "run 'make examples' and commit assets/examples"
LARGEST_BYTES = 2_200_000
ALL_BYTES = 7_500_000
SHORTEST, LONGEST = 64, 200  # tokens: below 64 no sink rate is stated; above, files grow large
# Another processor rounds otherwise, which may swap two candidates of nearly the same probability.
SAME_INTEGERS = 0.98


def of(kind: str, *, bundled: bool) -> list[Example]:
    """Return the examples of a kind that a bundled model made, or those of the default one."""
    found = KINDS.find(kind).examples
    return [each for each in found if each.request.model.startswith("bundled/") is bundled]


def belongs_to_the_model(example: Example, lab: Lab) -> None:
    """Check that the shipped run is of today's model, declaration and version, and answers."""
    assert (FOLDER / f"{example.slug}.npz").is_file(), REMEDY
    run = read(example)
    source = lab._registry.resolve(example.request.model)
    assert run.environment["fingerprint"] == lab._registry.fingerprint(source), REMEDY
    version = kind_of(example.request).result_class.schema_version
    assert run.environment["schema_version"] == version, REMEDY
    assert run.request == example.request, REMEDY
    assert example in lab.examples(example.request.kind)
    assert lab.open(example.run_id).request == example.request


def trace_is_computed_again(example: Example, lab: Lab) -> None:
    """Check that reading the text again gives the shipped numbers."""
    shipped = read(example).result
    assert isinstance(shipped, TraceResult)
    lab._repository.delete(example.run_id)
    computed = lab.run(example.request)
    assert not computed.cached
    assert SHORTEST <= shipped.length <= LONGEST
    assert shipped.token_text == computed.result.token_text
    assert abs(shipped.sink_rate - computed.result.sink_rate) <= 0.05
    for name, array in computed.result.arrays().items():
        stored = shipped.arrays()[name]
        assert stored.dtype == array.dtype
        if array.dtype.kind == "f":
            np.testing.assert_allclose(stored, array, rtol=2e-3, atol=2e-4, err_msg=name)
        else:
            assert np.mean(stored == array) >= SAME_INTEGERS, name


def cache_run_is_computed_again(example: Example, lab: Lab) -> None:
    """Check that the first steps under every policy come out as shipped."""
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


def new_tokens_are_computed_again(example: Example, lab: Lab) -> None:
    """Check that the same words become tokens again, at the same cost."""
    run = read(example)
    source = lab._registry.resolve(example.request.model)
    weights, _ = run.environment["fingerprint"].split()  # the other is of its tokenizer
    assert weights == lab._registry.fingerprint(source), REMEDY
    shipped = run.result
    assert isinstance(shipped, NewTokensResult)
    lab._repository.delete(example.run_id)
    computed = lab.run(example.request)
    assert not computed.cached
    assert isinstance(computed.result, NewTokensResult)
    for field in ("new_token", "pieces", "initialiser", "native_tokens", "tokens", "text_bytes"):
        assert getattr(computed.result, field) == getattr(shipped, field), REMEDY
    cost = computed.result.native_nats_per_byte
    np.testing.assert_allclose(shipped.native_nats_per_byte, cost, rtol=1e-3)
    for name, array in computed.result.arrays().items():
        np.testing.assert_allclose(shipped.arrays()[name], array, rtol=5e-3, atol=5e-3)
