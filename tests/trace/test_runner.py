"""A trace against transformers' eager attention and full logits, and against identities."""

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.models.conftest import save_model
from tests.trace.asking import FAMILIES, ask, assert_equals_oracle, run
from tests.trace.oracle import expected
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.runs.run import Run
from tokenarium.backend.settings import PROJECT
from tokenarium.backend.trace.older import trace_answers
from tokenarium.backend.trace.runner import trace


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
