"""Runs under policies: what they write down, refuse, and leave behind."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from tests.cache.asking import ask, run
from tokenarium.backend.cache.entries import LEAST_ROOM
from tokenarium.backend.cache.layer_view import Choice
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.terms import Label, When


@pytest.fixture(scope="module")
def found(twins, letters) -> CacheResult:
    loaded, _ = twins("llama")
    return run(loaded, ask(letters(60)))


def test_generated_tokens_are_those_of_a_model_with_its_own_cache(twins, letters, found) -> None:
    _, oracle = twins("llama")
    with torch.inference_mode():
        again = oracle.generate(
            torch.tensor([found.prompt_ids.tolist()]), max_new_tokens=12, do_sample=False
        )
    full = found.runs[0]
    assert full.token_ids.tolist() == again[0, len(found.prompt_ids) :].tolist()
    assert full.policy == "full"
    assert np.abs(full.kl_nats).max() < 1e-6
    assert (full.top1_agree == 1).all()
    assert found.first_divergence[0] == -1
    assert (found.lost_mass[0][1:] == 0).all()
    assert full.needed_later == ()


def test_divergence_is_that_of_full_recomputation(twins, letters, found) -> None:
    """The policy's own tokens, read by transformers' model without any cache."""
    _, oracle = twins("llama")
    for one in found.runs[1:]:
        ids = found.prompt_ids.tolist() + one.token_ids.tolist()
        with torch.inference_mode():
            logits = oracle(torch.tensor([ids]), use_cache=False).logits[0]
        full = logits[len(found.prompt_ids) - 1 : -1].log_softmax(-1)
        surprisal = -full[range(one.steps), one.token_ids.tolist()]
        np.testing.assert_allclose(
            found.full_surprisal_nats[one.number, : one.steps], surprisal, rtol=1e-4, atol=1e-5
        )
        agree = full.argmax(-1).numpy() == one.token_ids
        np.testing.assert_array_equal(one.top1_agree == 1, agree)
        first = np.flatnonzero(~agree)
        assert found.first_divergence[one.number] == (first[0] if len(first) else -1)
        assert one.kl_nats[0] == pytest.approx(0, abs=1e-6)  # the prompt is read whole
        assert one.kl_nats[1:].max() > 1e-3


def test_what_was_kept_is_told_for_every_step(found) -> None:
    prompt = len(found.prompt_ids)
    for step in range(12):
        for layer in range(3):
            for head in range(2):
                streaming = found.runs[2].kept(step, layer, head).tolist()
                newest = range(prompt + step - 12, prompt + step)
                assert streaming == [0, 1, 2, 3, *newest]
                assert found.runs[0].kept(step, layer, head).tolist() == [*range(prompt + step)]
                assert len(found.runs[1].kept(step, layer, head)) == 16
    evicted = found.runs[2].evicted
    assert evicted[evicted[:, 0] == 3].tolist() == [
        [3, layer, head, prompt + 3 - 13] for layer in range(3) for head in range(2)
    ]


def test_bytes_and_entries_are_those_held(found) -> None:
    row = 2 * (2 * 8 * 4 + 4)
    prompt = len(found.prompt_ids)
    for one in found.runs:
        assert one.cache_bytes.shape == one.step_ms.shape == (12,)
        assert np.isnan(one.step_ms[0])
        assert (one.step_ms[1:] > 0).all()
        assert one.prefill_ms > 0
    np.testing.assert_array_equal(found.entries[0, :, 1], prompt + np.arange(12))
    np.testing.assert_array_equal(found.entries[1:], 16)
    assert (found.runs[3].cache_bytes == 3 * row * (16 + LEAST_ROOM)).all()
    assert (found.runs[0].cache_bytes >= 3 * row * (prompt + np.arange(12))).all()
    assert found.budget_tokens == 16


def test_a_second_policy_is_compared_with_a_clean_oracle(twins, letters, found) -> None:
    loaded, _ = twins("llama")
    alone = run(loaded, ask(letters(60), policies=["h2o"]))
    for name in ("kl_nats", "lost_mass", "topk_overlap", "surprisal_nats", "needed_weight"):
        np.testing.assert_array_equal(
            getattr(alone, name)[0], getattr(found, name)[1], err_msg=name
        )


def test_a_given_continuation_is_read_and_its_perplexity_told(twins, letters) -> None:
    loaded, oracle = twins("llama")
    result = run(loaded, ask(letters(60), continuation=letters(30)[:25], max_new_tokens=3))
    given = result.runs[0].token_ids
    assert len(given) == 25
    assert loaded.tokenizer.decode(given.tolist()) == letters(30)[:25]
    ids = result.prompt_ids.tolist() + given.tolist()
    with torch.inference_mode():
        logits = oracle(torch.tensor([ids]), use_cache=False).logits[0]
    law = logits[len(result.prompt_ids) - 1 : -1].log_softmax(-1)
    expected = float((-law[range(25), given.tolist()]).mean().exp())
    assert result.perplexity[0] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(result.full_perplexity, expected, rtol=1e-4)
    assert result.perplexity[3] == pytest.approx(
        float(np.exp(result.surprisal_nats[3].mean())), rel=1e-5
    )


def test_without_the_oracle_texts_are_compared_with_that_of_the_full_cache(
    twins, letters, found
) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, ask(letters(60), oracle=False))
    np.testing.assert_array_equal(result.token_ids, found.token_ids)
    np.testing.assert_array_equal(result.first_divergence, found.first_divergence)
    assert np.isnan(result.kl_nats).all()
    assert np.isnan(result.lost_mass).all()
    np.testing.assert_allclose(result.surprisal_nats, found.surprisal_nats, atol=1e-6)


def test_scores_are_exact_near_the_threshold(twins, letters, found) -> None:
    recent = found.runs[3]
    told = recent.score(5, 1, 0)
    assert told is not None
    prompt = len(found.prompt_ids)
    assert told.step == 5
    assert told.threshold == prompt + 5 - 17  # the position just dropped is its own score
    np.testing.assert_array_equal(told.near, told.positions)
    assert told.positions[0] == told.threshold
    held = np.arange(prompt + 5 - 17, prompt + 5)
    for part, mean in enumerate(told.pooled):
        inside = held[held * 64 // (prompt + 12) == part]
        assert (np.isnan(mean) and not len(inside)) or mean == pytest.approx(inside.mean())
    assert found.runs[0].score(5, 1, 0) is None


@pytest.fixture
def first_half():
    """A policy that keeps everything and reads the oldest entries and the newest, by head."""

    class FirstHalf(Policy):
        slug: ClassVar[str] = "first_half"
        title: ClassVar[str] = "First half"
        label: ClassVar[Label] = "select"
        when: ClassVar[When] = "never"

        def selects(self, view):
            last = view.counts[0] - 1
            return Choice([torch.tensor([*range(20 + g), last]) for g in range(view.groups)])

    yield FirstHalf
    Policy.registry._entries.pop("first_half")


def test_what_a_selecting_policy_read_is_told(twins, letters, first_half) -> None:
    loaded, oracle = twins("llama")
    result = run(loaded, ask(letters(60), policies=["recent", "first_half"], max_new_tokens=7))
    one, prompt = result.runs[1], len(result.prompt_ids)
    ids = result.prompt_ids.tolist() + one.token_ids.tolist()
    with torch.inference_mode():
        attentions = oracle(torch.tensor([ids]), output_attentions=True).attentions
    assert one.selected(0, 1, 0) is None
    for step in range(1, 7):
        query = prompt + step - 1
        for layer in range(3):
            rows = attentions[layer][0, :, query].view(2, 2, -1).mean(1).numpy()
            lost = []
            for head in range(2):
                read = [*range(20 + head), query]
                assert one.selected(step, layer, head).tolist() == read
                assert len(one.kept(step, layer, head)) == query + 1
                lost.append(1 - rows[head, read].sum())
            assert result.lost_mass[1, step, layer] == pytest.approx(np.mean(lost), abs=1e-5)
    assert result.runs[0].selected(3, 1, 0) is None
    assert all(20 <= position < prompt + 6 for *_, position, _ in one.needed_later)


def test_scores_stay_under_their_size(twins, letters, monkeypatch) -> None:
    loaded, _ = twins("llama")
    monkeypatch.setattr("tokenarium.backend.cache.ledger.MOST_SCORE_BYTES", 20_000)
    result = run(loaded, ask(letters(60)))
    told = ("score_", "noise_near", "noise_pooled")
    sizes = [array.nbytes for name, array in result.arrays().items() if name.startswith(told)]
    assert 10_000 < sum(sizes) <= 20_000
    late = result.runs[3].score(11, 0, 0)
    assert late is not None
    assert late.step < 11


def test_result_comes_back_from_its_stored_form(found) -> None:
    again = CacheResult.from_stored(found.facts(), found.arrays())
    assert again.facts() == found.facts()
    np.testing.assert_array_equal(again.runs[1].kept(4, 1, 1), found.runs[1].kept(4, 1, 1))
    sizes = {"P": 5, "S": 12, "L": 3, "G": 2, "T": 61, "T+S": 73, "n": 256}
    sizes |= {"R": len(found.score_at), "N": len(found.noise_at), "Q": 0, "(T+S)/8": 10}
    sizes["M"] = len(found.merged_at)
    sizes |= {"K": 0, "C": 0, "B": 0}  # none of these policies searches, clusters or pairs
    for name, quantity in found.quantities().items():
        if isinstance(value := getattr(found, name), np.ndarray):
            shape = tuple(sizes.get(axis, axis) for axis in quantity.axes.split(","))
            assert value.shape == tuple(map(int, shape)), name


def test_the_same_request_gives_the_same_result(twins, letters, found) -> None:
    loaded, _ = twins("llama")
    again = run(loaded, ask(letters(60)))
    for name, array in found.arrays().items():
        if not name.endswith("_ms"):
            np.testing.assert_array_equal(again.arrays()[name], array, err_msg=name)


def test_an_end_of_text_token_stops_its_policy_only(twins, letters, found, monkeypatch) -> None:
    loaded, _ = twins("llama")
    stop = int(found.runs[0].token_ids[4])
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", [stop])
    result = run(loaded, ask(letters(60)))
    for one, before in zip(result.runs, found.runs, strict=True):
        ids = before.token_ids.tolist()
        end = ids.index(stop) + 1 if stop in ids else 12
        assert one.token_ids.tolist() == ids[:end]
        assert not np.isnan(one.kl_nats).any()
    assert result.runs[0].steps < 12
