"""How a run under policies goes: what it says meanwhile, where it stops, what it refuses."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

from tests.cache.asking import ask, run
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import CacheRequest, PolicySpec
from tokenarium.backend.cost.run_memory import CacheRunPlan, bytes_of_cache_run
from tokenarium.backend.runs.events import Cancelled, CancelToken, Partial, Progress


def test_progress_and_partial_results_tell_the_same_run(twins, letters, monkeypatch) -> None:
    loaded, _ = twins("llama")
    monkeypatch.setattr("tokenarium.backend.runs.progress.PARTIAL_SECONDS", 0.0)
    events: list[Any] = []
    result = run(loaded, ask(letters(60)), events.append)
    steps = [event for event in events if isinstance(event, Progress)]
    assert (steps[-1].done, steps[-1].total) == (60, 60)
    assert [event.done for event in steps] == sorted(event.done for event in steps)
    partial = [event.result for event in events if isinstance(event, Partial)]
    assert len(partial) > 3
    for early in partial:
        for one, last in zip(early.runs, result.runs, strict=True):
            assert one.token_ids.tolist() == last.token_ids[: one.steps].tolist()
            assert early.text[one.number] == loaded.tokenizer.decode(
                one.token_ids.tolist(), skip_special_tokens=True
            )


def test_cancelled_in_a_layer_it_frees_every_cache(twins, letters, monkeypatch) -> None:
    loaded, _ = twins("llama")
    made: list[weakref.ref[Any]] = []
    from tokenarium.backend.cache import recorder

    class Seen(recorder.Entries):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(weakref.ref(self.buffers["keys"]))

    monkeypatch.setattr(recorder, "Entries", Seen)
    cancel = CancelToken()

    def stop(event: Any) -> None:
        if isinstance(event, Progress) and event.done == 15:
            cancel.cancel()

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Cancelled):
            run(loaded, ask(letters(60)), stop, cancel)
        assert len(made) >= 9, "three layers of the full model and of two policies"
        assert [ref() for ref in made if ref() is not None] == []
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("budget", "unit", "tokens"),
    [(7, "tokens", 7), (0.25, "ratio", 25), (0.001, "ratio", 0), (0.01088, "megabytes", 40)],
)
def test_a_budget_is_rounded_to_entries(budget: float, unit: Any, tokens: int) -> None:
    sizes = CacheSizes(layers=3, windowed=1, entry_bytes=136)
    if tokens:
        assert tokens_per_head(budget, unit, 100, sizes) == tokens
        return
    with pytest.raises(ValueError, match=r"budget=0.001 ratio .* at least 0.01"):
        tokens_per_head(budget, unit, 100, sizes)


def test_a_fraction_of_a_token_is_refused() -> None:
    sizes = CacheSizes(layers=3, windowed=1, entry_bytes=136)
    with pytest.raises(ValueError, match=r"budget=2.5 tokens is no whole number: choose 2 or 3"):
        tokens_per_head(2.5, "tokens", 100, sizes)
    assert tokens_per_head(2.0, "tokens", 100, sizes) == 2


def test_a_budget_below_a_policys_smallest_is_refused_before_the_run(twins, letters) -> None:
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=r"budget=4 .* the 5 that StreamingLLM needs"):
        run(loaded, ask(letters(60), budget=4))
    run(loaded, ask(letters(9), budget=4, policies=["full", "recent"]))


def test_a_run_that_would_not_fit_is_refused(twins, letters, monkeypatch) -> None:
    loaded, _ = twins("llama")
    monkeypatch.setattr("tokenarium.backend.cost.free_memory.free_bytes", lambda _: 1000)
    with pytest.raises(
        ValueError, match=r"are free: switch off the full cache alongside \(oracle=False\), or"
    ):
        run(loaded, ask(letters(60)))

    def needed(request: CacheRequest) -> int:
        config, device = loaded.model.config, loaded.device
        plan = CacheRunPlan(request, config, loaded.dtype, device, 10_000, 10, 100)
        return bytes_of_cache_run(plan)

    small, large = (ask("a", policies=["h2o"], oracle=asked) for asked in (False, True))
    without = needed(small)
    assert needed(large) - without == 3 * 10_010 * 136
    full = ask("a", policies=["full"], oracle=False)
    assert needed(full) > without + 3 * 9_000 * 136
    once = ask("a", policies=["snapkv"], oracle=False)
    assert needed(once) - without == 1.5 * 3 * 10 * 136, "new tokens come on top of its budget"


def test_learned_positions_end_where_they_end(twins, letters) -> None:
    loaded, _ = twins("gpt2")
    with pytest.raises(ValueError, match=r"max_new_tokens=2000 .* shorten either by"):
        run(loaded, ask(letters(60), policies=["full"], max_new_tokens=2000))
    with pytest.raises(ValueError, match="does not place its tokens by rotation"):
        run(loaded, ask(letters(60), policies=["streaming_llm"]))


def test_layers_with_a_window_are_noted(twins, letters) -> None:
    loaded, _ = twins("gemma2")
    result = run(loaded, ask(letters(60), policies=["full", "recent"]))
    assert not any("leaves" in note for note in result.notes[0])
    assert any("acts in 1 of 3 layers" in note for note in result.notes[1])
    assert any(note.startswith("variant: ") for note in result.notes[1])
    np.testing.assert_array_equal(result.entries[:, -1, 0], 15)
    np.testing.assert_array_equal(result.entries[:, -1, 1], [61 + 11, 16])


def test_requests_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="policy='nap' is unknown: choose"):
        ask("a", policies=["nap"])
    with pytest.raises(ValueError, match="policies has h2o twice"):
        ask("a", policies=["h2o", "h2o"])
    with pytest.raises(ValueError, match="budget=2 is above 1"):
        ask("a", budget=2, budget_unit="ratio")
    with pytest.raises(ValueError, match="recent_share=3"):
        PolicySpec("h2o", recent_share=3)


def test_defaults_left_out_or_spelled_out_are_the_same_question() -> None:
    full = Policy.registry.find("h2o")().model_dump(mode="json")
    assert ask("a", policies=["h2o"]).key("f") == ask("a", policies=[PolicySpec("h2o", full)]).key(
        "f"
    )
    by_prompt = CacheRequest(model="tiny", prompt="a", policies=["h2o"])
    assert by_prompt == CacheRequest(model="tiny", text="a", policies=["h2o"])
    stored = CacheRequest.model_validate(by_prompt.model_dump(mode="json"))
    assert stored == by_prompt
