"""A trace against transformers' eager attention and full logits, and against identities."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import tokenarium.backend.cost.free_memory as memory
import tokenarium.backend.trace.runner as runner
import tokenarium.backend.trace.second_pass as second_pass
from tests.kernels.test_attention_stats import Largest
from tests.models.conftest import save_model
from tests.trace.oracle import expected
from tokenarium.backend.cost.fits import need
from tokenarium.backend.cost.work import Choices, Sizes, of_result
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.observe.attention import _active
from tokenarium.backend.runs.events import Cancelled, CancelToken, Partial, Progress
from tokenarium.backend.runs.run import Run
from tokenarium.backend.settings import PROJECT
from tokenarium.backend.trace.older import trace_answers
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.result import TraceResult
from tokenarium.backend.trace.runner import trace
from tokenarium.kernels.attention_stats import workers

FAMILIES = ["llama", "gpt2", "qwen3", "mistral", "gemma2", "gpt_oss"]
LARGE = ("residual_norm", "residual_top_values", "key_norm", "value_norm")


def ask(text: str, **values: Any) -> TraceRequest:
    asked = {"model": "tiny", "text": text, "top_k": 5, "tiles": 16, "logit_lens": True}
    return TraceRequest(**asked | values)


def run(loaded: Any, request: TraceRequest, emit: Any = None, cancel: Any = None) -> TraceResult:
    return trace(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())


def assert_equals_oracle(result: TraceResult, oracle: Any, tiles: int, top_k: int) -> None:
    wanted = expected(oracle, result.token_ids.tolist(), tiles, top_k, result.forgetting)
    for name, values in wanted.items():
        found = getattr(result, name)
        assert found.shape == values.shape, name
        if values.dtype.kind == "i":
            assert found.dtype == np.int32, name
            np.testing.assert_array_equal(found, values, err_msg=name)
            continue
        assert found.dtype == np.float32, name
        loose = 1e-4 if name in LARGE else 1e-5
        np.testing.assert_allclose(found, values, rtol=loose, atol=loose, err_msg=name)
    rate = float((wanted["sink_score"] > result.sink_threshold).mean())
    assert result.sink_rate == pytest.approx(rate)


@pytest.mark.parametrize("length", [1, 7, 63, 130])
@pytest.mark.parametrize("family", FAMILIES)
def test_trace_equals_eager_attention_and_full_logits(twins, letters, family, length):
    loaded, oracle = twins(family)
    result = run(loaded, ask(letters(length), add_bos=False))
    assert result.length == length
    assert_equals_oracle(result, oracle, tiles=16, top_k=5)
    assert result.layers_done == result.layers == 3
    assert result.context == 2048
    of_tokens = {"offsets", "special", "special_id", "turn"}
    arrays = of_tokens | expected(oracle, [5], 1, 1, (1.0,)).keys()
    assert result.arrays().keys() == arrays, "every array of a result is compared"


def test_trace_describes_its_tokens(twins, letters):
    loaded, _ = twins("llama")
    result = run(loaded, ask("Aé", add_bos=True))
    assert result.special.tolist() == [True, False, False]
    assert result.offsets.tolist() == [[0, 0], [0, 1], [1, 2]]
    assert result.token_text == ("<|bos|>", "A", "é")
    assert [len(row) for row in result.top_text] == [5, 5, 5]
    spelled = dict(zip(result.top_ids[0].tolist(), result.top_text[0], strict=True))
    alone = {key: loaded.tokenizer.decode([key]) for key in spelled if 65 <= key < 90}
    assert alone.items() <= spelled.items()
    assert result.lens_text[-1] == tuple(row[0] for row in result.top_text)
    assert (result.dropped_tokens, result.notes) == (0, ())


def test_trace_text_that_was_cut_says_so(twins, letters):
    loaded, _ = twins("llama")
    request = ask(letters(40), overflow="keep_start", add_bos=False)
    result = trace(request, loaded, 12, lambda _: None, CancelToken())
    assert (result.length, result.dropped_tokens) == (12, 28)
    assert len(result.notes) == 1


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_trace_past_the_trained_context_equals_eager_and_says_so(tmp_path, letters, family):
    save_model(tmp_path, family, max_position_embeddings=32)
    loaded = load(ModelSource("local/x", tmp_path, None, "x"), "float32", "cpu", 32)
    oracle = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    text = letters(90)
    with pytest.raises(ValueError, match="overflow=exceed to read past the 32 tokens"):
        trace(ask(text), loaded, 32, lambda _: None, CancelToken())
    result = run(loaded, ask(text, overflow="exceed", add_bos=False))
    assert_equals_oracle(result, oracle, tiles=16, top_k=5)
    assert (result.length, result.context) == (90, 32)
    assert "tokens from 32 on are beyond the context" in result.notes[0]
    assert run(loaded, ask(text[:32], overflow="exceed", add_bos=False)).notes == ()


def test_trace_past_learned_positions_is_refused(tmp_path, letters):
    save_model(tmp_path, "gpt2", max_position_embeddings=32)
    loaded = load(ModelSource("local/x", tmp_path, None, "x"), "float32", "cpu", 32)
    with pytest.raises(ValueError, match="local/x has learned positions for 32 tokens"):
        run(loaded, ask(letters(90), overflow="exceed"))


def test_trace_with_more_alternatives_than_tokens_cuts_and_says_so(tmp_path):
    save_model(tmp_path, "llama", vocab_size=300)
    loaded = load(ModelSource("local/x", tmp_path, None, "x"), "float32", "cpu", 64)
    loaded.model.config.vocab_size = 60
    loaded = dataclasses.replace(
        loaded, unembed=lambda hidden: loaded.model.lm_head(hidden)[..., :60]
    )
    result = run(loaded, ask("A", top_k=100, add_bos=False))
    assert result.top_ids.shape == (1, 60)
    assert "top_k=100" in result.notes[0]


def test_trace_without_lens_keeps_the_rest(twins, letters):
    loaded, _ = twins("qwen3")
    text = letters(20)
    full, bare = run(loaded, ask(text)), run(loaded, ask(text, logit_lens=False))
    assert bare.lens_ids is bare.lens_text is bare.lens_entropy_nats is bare.lens_kl_nats is None
    for name, values in bare.arrays().items():
        np.testing.assert_array_equal(values, full.arrays()[name], err_msg=name)


def test_trace_without_forgetting_factors_keeps_the_rest(twins, letters):
    loaded, _ = twins("llama")
    result = run(loaded, ask(letters(20), forgetting=()))
    assert result.decayed_mass.shape == (3, 4, 0, result.length)
    full = run(loaded, ask(letters(20)))
    np.testing.assert_array_equal(result.persistence, full.persistence)
    np.testing.assert_array_equal(result.received_mass, full.received_mass)


@pytest.mark.parametrize("family", ["llama", "gpt_oss"])
def test_trace_received_mass_sums_to_the_tokens_less_the_sinks_share(twins, letters, family):
    loaded, oracle = twins(family)
    result = run(loaded, ask(letters(50)))
    mass = (result.received_mass * (result.length - np.arange(result.length))).sum(-1)
    with torch.inference_mode():
        ids = torch.from_numpy(result.token_ids.astype(np.int64))[None]
        weights = torch.cat(oracle(ids, output_attentions=True).attentions)
    share = 1 - weights.sum(-1).numpy()  # [L, H, T], what learned sinks take
    np.testing.assert_allclose(mass, result.length - share.sum(-1), rtol=1e-5)
    assert (mass < result.length - 0.01).all() == (family == "gpt_oss")


def test_trace_mean_surprisal_is_the_models_loss(twins, letters):
    loaded, oracle = twins("gpt2")
    result = run(loaded, ask(letters(90)))
    ids = torch.from_numpy(result.token_ids.astype(np.int64))[None]
    with torch.inference_mode():
        loss = oracle(ids, labels=ids).loss.item()
    assert np.nanmean(result.surprisal_nats) == pytest.approx(loss, rel=1e-5)


def test_trace_in_chunks_of_rows_is_the_same(twins, letters, monkeypatch):
    loaded, oracle = twins("llama")
    monkeypatch.setattr("tokenarium.backend.trace.vocabulary.CHUNK_ROWS", range(9, 11))
    result = run(loaded, ask(letters(41), add_bos=False))
    assert_equals_oracle(result, oracle, tiles=16, top_k=5)


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


def count_layers(loaded: Any) -> tuple[list[int], list[Any]]:
    ran: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(loaded.layers)
    ]
    return ran, hooks


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


@pytest.mark.external
@pytest.mark.skipif(
    not (PROJECT.parent / "shared/data/models/stories3m").is_dir(),
    reason="the data folder beside the project is absent",
)
def test_trace_of_a_trained_model_equals_eager():
    folder = PROJECT.parent / "shared/data/models/stories3m"
    loaded = load(ModelSource("stories3m", folder, None, "stories3m"), "float32", "cpu", 512)
    oracle = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    ).eval()
    text = "Once upon a time there was a little dog who liked to run in the big park. " * 4
    assert_equals_oracle(run(loaded, ask(text)), oracle, tiles=16, top_k=5)


def test_entropy_and_distance_leave_out_what_a_learned_sink_takes(tmp_path, letters):
    """With nearly all attention on the sink, heads look as they do where there is none."""
    found = []
    for sink in (-60.0, 9.0):
        save_model(tmp_path, "gpt_oss")
        loaded = load(ModelSource("local/m", tmp_path, None, "m"), "float32", "cpu", 2048)
        loaded.layers[0].self_attn.sinks.data.fill_(sink)
        found.append(run(loaded, ask(letters(40))))
    without, sunk = found
    assert sunk.learned_sink_mass[0].mean() > 0.9
    assert without.learned_sink_mass[0].max() < 1e-6
    for name in ("attention_entropy_nats", "attention_distance"):
        np.testing.assert_allclose(
            getattr(sunk, name)[0], getattr(without, name)[0], rtol=2e-4, atol=2e-4
        )


@pytest.mark.parametrize("family", ["llama", "gpt_oss"])
def test_older_runs_stand_where_no_learned_sink_changed_them(twins, letters, family):
    result = run(twins(family)[0], ask(letters(40)))
    old = Run("id", ask("x"), result, datetime.now(UTC), 0.0, {}, False)
    assert trace_answers(old, 3) == (family == "llama")
    assert trace_answers(old, 4)
