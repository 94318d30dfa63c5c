"""How a trace runs: what it says meanwhile, where it stops, what it holds and refuses."""

from typing import Any

import numpy as np
import pytest
import torch

import tokenarium.backend.cost.free_memory as memory
import tokenarium.backend.trace.runner as runner
import tokenarium.backend.trace.second_pass as second_pass
from tests.kernels.test_attention_stats import Largest
from tests.trace.asking import FAMILIES, ask, assert_equals_oracle, count_layers, run
from tokenarium.backend.cost.fits import need
from tokenarium.backend.cost.work import Choices, Sizes, of_result
from tokenarium.backend.observe.attention import _active
from tokenarium.backend.runs.events import Cancelled, CancelToken, Partial, Progress
from tokenarium.kernels.attention_stats import workers


@pytest.mark.parametrize("family", ["llama", "gpt_oss"])
@pytest.mark.parametrize("streams", [0, 2, 3])
def test_trace_reads_twice_where_streams_are_too_large_and_finds_the_same(
    twins, letters, monkeypatch, family, streams
):
    loaded, oracle = twins(family)
    request = ask(letters(41), add_bos=False)
    once = run(loaded, request)
    ran, hooks = count_layers(loaded)
    held = streams * 41 * 32 * 4
    monkeypatch.setattr(second_pass, "STREAM_BYTES", held)
    largest = []
    look = second_pass.look
    monkeypatch.setattr(second_pass, "look", lambda *a: (largest.append(len(a[2])), look(*a)))
    events: list[Any] = []
    twice = run(loaded, request, events.append)
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1, 2, 0, 1]
    assert largest == {0: [1, 1, 1], 2: [1, 1, 1], 3: [2, 1]}[streams]
    assert once.notes == ()
    assert "read the text a second time" in twice.notes[0]
    assert_equals_oracle(twice, oracle, tiles=16, top_k=5)
    for name, values in once.arrays().items():
        if not name.startswith("lens"):
            np.testing.assert_array_equal(values, twice.arrays()[name], err_msg=name)
    told = [(e.doing, e.done) for e in events if isinstance(e, Progress)]
    assert told[-1] == ("logit lens", 2)
    assert ("reading layers again", 1) in told


def test_trace_cancelled_while_it_reads_again_stops(twins, letters, monkeypatch):
    monkeypatch.setattr(second_pass, "STREAM_BYTES", 0)
    loaded, _ = twins("llama")
    cancel = CancelToken()

    def emit(event: Any) -> None:
        if isinstance(event, Progress) and event.doing == "reading layers again":
            cancel.cancel()

    ran, hooks = count_layers(loaded)
    with pytest.raises(Cancelled):
        run(loaded, ask(letters(30)), emit, cancel)
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1, 2]
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in loaded.layers)


@pytest.mark.parametrize("after", [0, 1, 2])
def test_trace_cancelled_stops_within_a_layer_and_leaves_nothing(twins, letters, after):
    loaded, _ = twins("llama")
    cancel = CancelToken()

    def emit(event: Any) -> None:
        if isinstance(event, Progress) and event.done == after:
            cancel.cancel()

    if after == 0:
        cancel.cancel()
    ran, hooks = count_layers(loaded)
    with pytest.raises(Cancelled):
        run(loaded, ask(letters(30)), emit, cancel)
    assert len(ran) <= after + 1
    for hook in hooks:
        hook.remove()
    assert _active.get() is None
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in loaded.layers)


def test_trace_cancelled_during_predictions_stops(twins, letters):
    loaded, _ = twins("llama")
    cancel, told = CancelToken(), []

    def emit(event: Any) -> None:
        told.append(event)
        if isinstance(event, Progress) and event.doing == "predicting":
            cancel.cancel()

    with pytest.raises(Cancelled):
        run(loaded, ask(letters(30)), emit, cancel)
    assert [event.doing for event in told if isinstance(event, Progress)] == [
        *["reading layers"] * 3,
        "predicting",
    ]


def test_trace_tells_its_progress_and_what_is_known_so_far(twins, letters, monkeypatch):
    monkeypatch.setattr(runner, "PARTIAL_SECONDS", 0.0)
    monkeypatch.setattr("tokenarium.backend.runs.progress.PARTIAL_SHARE", 1e9)
    loaded, _ = twins("llama")
    events: list[Any] = []
    request = ask(letters(30), add_bos=False, sink_threshold=0.05)
    result = run(loaded, request, events.append)
    progress = [(e.doing, e.done, e.total) for e in events if isinstance(e, Progress)]
    assert progress == [
        *[("reading layers", done, 3) for done in (1, 2, 3)],
        *[("predicting", done, 4) for done in (1, 2, 3, 4)],
    ]
    partial = [event.result for event in events if isinstance(event, Partial)]
    assert [part.layers_done for part in partial] == [1, 2, 3, 3, 3, 3, 3]
    first, last = partial[0], partial[-1]
    np.testing.assert_array_equal(first.received_mass[0], result.received_mass[0])
    assert np.isnan(first.received_mass[1:]).all()
    assert np.isnan(first.surprisal_nats).all()
    assert (first.rank == -1).all()
    assert (first.top_ids == -1).all()
    assert set(first.top_text[0]) == {""}
    assert first.sink_rate == float((result.sink_score[0] > 0.05).mean()) > 0
    for name, values in last.arrays().items():
        np.testing.assert_array_equal(values, result.arrays()[name], err_msg=name)


def test_trace_partial_results_are_rare(twins, letters, monkeypatch):
    monkeypatch.setattr(runner, "PARTIAL_SECONDS", 60.0)
    loaded, _ = twins("llama")
    events: list[Any] = []
    run(loaded, ask(letters(30)), events.append)
    assert not any(isinstance(event, Partial) for event in events)


def test_trace_that_would_not_fit_is_refused_before_it_starts(twins, letters, monkeypatch):
    loaded, _ = twins("llama")
    wanted = need(0, loaded.model.config, torch.float32, loaded.device).work
    monkeypatch.setattr(memory, "free_bytes", lambda _: wanted.total(200))
    ran, hooks = count_layers(loaded)
    with pytest.raises(ValueError, match="shorten the text to at most 200 tokens"):
        run(loaded, ask(letters(201), add_bos=False, tiles=64, top_k=10))
    assert ran == []
    run(loaded, ask(letters(200), add_bos=False, tiles=64, top_k=10))
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("family", FAMILIES)
def test_trace_result_is_as_large_as_was_estimated(twins, letters, family):
    loaded, _ = twins(family)
    choices = Choices(tiles=64, top_k=100, factors=8, lens=True)
    request = ask(letters(700), tiles=64, top_k=100, forgetting=(0.9,) * 8)
    result = run(loaded, request)
    estimate = of_result(Sizes.of(loaded.model.config), choices)
    held = sum(array.nbytes for array in result.arrays().values())
    assert held < estimate.fixed / 2 + estimate.per_token / 2 * result.length < 1.5 * held


def test_trace_too_large_to_copy_tells_progress_alone(twins, letters, monkeypatch):
    monkeypatch.setattr(runner, "PARTIAL_SECONDS", 0.0)
    monkeypatch.setattr("tokenarium.backend.runs.progress.PARTIAL_BYTES", 1000)
    loaded, _ = twins("llama")
    events: list[Any] = []
    run(loaded, ask(letters(30)), events.append)
    assert len(events) == 7
    assert not any(isinstance(event, Partial) for event in events)


def test_trace_holds_neither_the_attention_matrix_nor_all_logits(twins, letters, monkeypatch):
    def in_this_thread(jobs: Any, _: int) -> None:
        for job in jobs:
            job()

    monkeypatch.setattr(workers, "run", in_this_thread)
    loaded, _ = twins("llama")
    rows: list[int] = []
    hook = loaded.model.lm_head.register_forward_pre_hook(
        lambda _, args: rows.append(args[0].shape[-2])
    )
    length = 2048
    with Largest() as largest:
        run(loaded, ask(letters(length), add_bos=False))
    hook.remove()
    assert largest.elements <= length * length / 4
    assert max(rows) <= length / 8
    assert sum(rows) == length * 4


def test_trace_keeps_a_stream_that_the_next_layer_changes_in_place(twins, letters):
    loaded, _ = twins("llama")
    request = ask(letters(12))
    before = run(loaded, request)

    def double(_: Any, args: tuple[torch.Tensor, ...]) -> None:
        args[0].mul_(2)

    hook = loaded.layers[1].register_forward_pre_hook(double)
    after = run(loaded, request)
    hook.remove()
    np.testing.assert_array_equal(after.lens_entropy_nats[1], before.lens_entropy_nats[1])
    assert (after.lens_entropy_nats[2] != before.lens_entropy_nats[2]).any()
