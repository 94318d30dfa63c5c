"""Texts of the likeliest tokens: equal, tied, wrong at a token, and cut from text alone."""

import numpy as np
import pytest
import torch

from tests.text_audit.conftest import MODEL, PROMPT, Audits, Writes
from tokenarium.backend import AuditRequest, Lab, UserError
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.text_audit.segmentation import follow_text
from tokenarium.backend.text_audit.tokens import spelled


def logits_after(loaded: LoadedModel, ids: list[int]) -> torch.Tensor:
    """Return what transformers gives after each token, by its own whole forward pass."""
    with torch.inference_mode():
        found: torch.Tensor = loaded.model(torch.tensor([ids]), use_cache=False).logits[0]
    return found.double()


def test_what_the_model_writes_is_equal_by_ids_and_by_text(
    writes: Writes, audits: Audits, loaded: LoadedModel
) -> None:
    ids = writes()
    found = audits(token_ids=ids)
    assert (found.verdict, found.position, found.exit_status) == ("equal", -1, 0)
    assert np.isnan(found.gap_nats)
    assert np.array_equal(found.best_ids, ids)
    text = spelled(loaded, found.prompt_ids.tolist(), ids)
    assert audits(continuation=text).verdict == "equal"


@pytest.mark.parametrize("at", [0, 7, 40])
def test_a_token_that_was_altered_is_named(writes: Writes, audits: Audits, at: int) -> None:
    ids = writes()
    altered = [*ids[:at], (ids[at] + 1) % 6000, *ids[at + 1 :]]
    found = audits(token_ids=altered)
    assert (found.verdict, found.position, found.exit_status) == ("wrong", at, 1)
    assert found.best_ids[at] == ids[at]
    assert found.gap_nats == pytest.approx(float(found.gap[at]))
    assert found.gap_nats > found.tolerance_nats


def test_every_number_is_that_of_a_plain_forward_pass(
    writes: Writes, audits: Audits, loaded: LoadedModel
) -> None:
    ids = writes()
    ids[5] = 77
    found = audits(token_ids=ids)
    prompt = found.prompt_ids.tolist()
    logits = logits_after(loaded, [*prompt, *ids])[len(prompt) - 1 : -1]
    probs, own = logits.softmax(-1), torch.tensor(ids)[:, None]
    given = logits.gather(-1, own)
    np.testing.assert_allclose(found.gap, (logits.amax(-1) - given[:, 0]).numpy(), atol=1e-4)
    np.testing.assert_array_equal(found.rank, (logits > given).sum(-1).numpy())
    np.testing.assert_allclose(found.logprob, probs.gather(-1, own)[:, 0].log(), atol=1e-4)
    entropy = -(probs * probs.log()).sum(-1)
    np.testing.assert_allclose(found.entropy_nats, entropy.numpy(), atol=1e-4)


def test_a_gap_within_the_format_is_a_tie_and_beyond_it_wrong(
    writes: Writes, audits: Audits, loaded: LoadedModel
) -> None:
    ids = writes(200)
    prompt = audits(token_ids=ids).prompt_ids.tolist()
    logits = logits_after(loaded, [*prompt, *ids])[len(prompt) - 1 : -1]
    best = logits.topk(2, -1)
    gaps = best.values[:, 0] - best.values[:, 1]
    at = next(n for n, gap in enumerate(gaps.tolist()) if 0.01 < gap < 0.25)
    second = [*ids[:at], int(best.indices[at, 1])]
    tie = audits(token_ids=second, generated_in="bfloat16")
    assert (tie.verdict, tie.position, tie.ties, tie.exit_status) == ("numeric tie", at, 1, 0)
    assert tie.gap_nats == pytest.approx(float(gaps[at]), abs=1e-4)
    assert audits(token_ids=second).verdict == "wrong"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_text_of_another_format_is_never_wrong_by_its_tolerance(
    writes: Writes, audits: Audits, dtype: str
) -> None:
    ids = writes(128, dtype=dtype)
    found = audits(token_ids=ids, generated_in=dtype)
    assert found.verdict in ("equal", "numeric tie")
    assert found.gap.max() <= found.tolerance_nats
    assert audits(token_ids=ids, dtype=dtype).verdict in ("equal", "numeric tie")


def test_the_repetition_penalty_is_that_of_the_tokens_before(
    writes: Writes, audits: Audits
) -> None:
    ids = writes(repetition_penalty=1.5)
    assert audits(token_ids=ids, sampling={"repetition_penalty": 1.5}).verdict == "equal"
    assert audits(token_ids=ids).verdict == "wrong"


def test_the_models_own_tokens_are_found_where_the_cut_is_another(
    writes: Writes, audits: Audits, loaded: LoadedModel
) -> None:
    ids = writes(12)
    prompt = audits(token_ids=ids).prompt_ids.tolist()
    text = spelled(loaded, prompt, ids)
    at = next(n for n, key in enumerate(ids) if len(spelled(loaded, prompt, [key])) > 2)
    piece = spelled(loaded, (*prompt, *ids[:at]), [ids[at]])
    halves = [
        key
        for part in (piece[:2], piece[2:])
        for key in loaded.tokenizer(part, add_special_tokens=False)["input_ids"]
    ]
    cut = [*ids[:at], *halves, *ids[at + 1 :]]
    assert spelled(loaded, prompt, cut) == text
    followed = follow_text(loaded, prompt, cut, text, Processors(), 1e-3, lambda: None)
    assert list(followed.ids) == ids
    assert (followed.recut, followed.open) == (1, False)


def test_a_text_that_the_model_would_not_write_is_wrong_however_it_is_cut(
    audits: Audits,
) -> None:
    found = audits(continuation=" Zebras quantise tensors")
    assert (found.verdict, found.position, found.tokens_from) == ("wrong", 0, "text")


def test_log_probabilities_that_were_given_are_compared(writes: Writes, audits: Audits) -> None:
    ids = writes()
    own = audits(token_ids=ids).logprob.tolist()
    right = audits(token_ids=ids, logprobs=own)
    assert right.verdict == "equal"
    assert right.audit["checks"][-1]["verdict"] == "passed"
    own[9] -= 0.3
    wrong = audits(token_ids=ids, logprobs=own).audit["checks"][-1]
    assert wrong["verdict"] == "failed"
    assert wrong["numbers"]["token"] == 9
    assert wrong["numbers"]["largest"] == pytest.approx(0.3, abs=1e-3)


NOT_A_NUMBER = float("nan")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "neither is given"),
        ({"token_ids": [1], "continuation": "x"}, "both are given"),
        ({"token_ids": [1], "prompt_ids": [1]}, "both are given"),
        ({"token_ids": [1], "text": ""}, "neither is given"),
        ({"token_ids": [1, 2], "logprobs": [-1.0]}, "give one for each token"),
        ({"token_ids": [1], "logprobs": [NOT_A_NUMBER]}, r"logprobs\[0\]=nan"),
        ({"token_ids": [1], "logprobs": [0.5]}, "at most 0"),
        ({"token_ids": [-1]}, "token_ids.0=-1"),
        ({"token_ids": [True]}, "token_ids.0=True"),
        ({"token_ids": [2**31]}, "token_ids.0"),
        ({"token_ids": [6144]}, r"token_ids\[0\]=6144 is outside the vocabulary"),
        ({"token_ids": [1] * 5000}, "the limit is"),
        ({"token_ids": [1], "sampling": {"temperature": NOT_A_NUMBER}}, "sampling.temperature"),
        ({"token_ids": [1], "sampling": {"warmth": 1}}, "sampling.warmth"),
        ({"continuation": "a", "logprobs": [-1.0] * 9}, "give token_ids"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_words(
    lab: Lab, values: dict[str, object], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        lab.run(lab.request(AuditRequest, **{"model": MODEL, "text": PROMPT, **values}))


def test_a_prompt_is_given_as_ids_too(writes: Writes, audits: Audits) -> None:
    ids = writes()
    prompt = audits(token_ids=ids).prompt_ids.tolist()
    found = audits(text="", prompt_ids=prompt, token_ids=ids)
    assert found.verdict == "equal"
    assert found.prompt_ids.tolist() == prompt


def test_tokens_after_an_end_of_text_are_said(
    writes: Writes, audits: Audits, loaded: LoadedModel
) -> None:
    end = loaded.tokenizer.eos_token_id
    found = audits(token_ids=[*writes(4), end, *writes(4)])
    assert any("ends a text" in note for note in found.notes)
