"""A judged text is the model's own, token by token, and requests are refused in words."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.labs import shipped_lab
from tokenarium.backend import (
    CacheRequest,
    DecodeRequest,
    Lab,
    SpeculateRequest,
    TraceRequest,
)
from tokenarium.backend.judging.reading import draw
from tokenarium.backend.judging.request import JudgeRequest, MeasureSpec
from tokenarium.backend.judging.result import JudgeResult
from tokenarium.backend.judging.runner import judge
from tokenarium.backend.runs.events import Cancelled, CancelToken


def run(loaded: Any, request: JudgeRequest, limit: int = 2048, **more: Any) -> JudgeResult:
    return judge(request, loaded, limit, lambda _: None, more.get("cancel", CancelToken()))


def test_surprisal_and_entropy_are_those_of_a_plain_forward(twins, letters) -> None:
    loaded, plain = twins("qwen3")
    found = run(loaded, JudgeRequest(model="tiny", text=letters(80)))
    ids = torch.tensor(found.token_ids.astype(np.int64))
    with torch.inference_mode():
        logs = torch.log_softmax(plain(ids[None]).logits[0].float(), -1)
    wanted = -logs[:-1].gather(1, ids[1:, None])[:, 0]
    at = found.judged
    np.testing.assert_allclose(found.surprisal_nats[at], wanted[at[1:]], atol=1e-4)
    entropy = -(logs.exp() * logs).sum(-1)[:-1]
    np.testing.assert_allclose(found.entropy_before_nats[at], entropy[at[1:]], atol=1e-4)
    assert not found.judged[0]


def test_only_the_continuation_is_judged_and_reads_what_stands_before(twins, letters) -> None:
    loaded, _ = twins("llama")
    whole = run(loaded, JudgeRequest(model="tiny", text=letters(60), add_bos=False))
    ids = whole.token_ids.tolist()
    prompt = JudgeRequest(model="tiny", text=letters(60)[:20], add_bos=False, continuation=ids[20:])
    found = run(loaded, prompt)
    assert found.token_ids.tolist() == ids
    assert np.flatnonzero(found.judged).tolist() == list(range(20, 60))
    np.testing.assert_allclose(found.surprisal_nats[20:], whole.surprisal_nats[20:], atol=1e-5)
    later = run(loaded, JudgeRequest(model="tiny", text=letters(60), add_bos=False, first=20))
    np.testing.assert_array_equal(later.score, found.score)


def test_the_same_seed_gives_the_same_null_and_another_does_not(twins, letters) -> None:
    loaded, _ = twins("llama")
    ask = {"model": "tiny", "text": letters(70), "measures": ["min_k"]}
    first, again = (run(loaded, JudgeRequest(**ask)) for _ in range(2))
    np.testing.assert_array_equal(first.null_mean, again.null_mean)
    other = run(loaded, JudgeRequest(**ask, seed=1))
    assert other.null_mean[0] != first.null_mean[0]
    assert other.score[0] == first.score[0]


def test_draws_follow_their_distribution() -> None:
    probs = torch.tensor([[0.5, 0.0, 0.3, 0.2], [0.0, 0.0, 1.0, 0.0]])
    uniform = np.random.default_rng(0).random((2, 20_000))
    found = draw(probs, uniform)
    share = torch.bincount(found[0], minlength=4) / 20_000
    np.testing.assert_allclose(share, probs[0], atol=0.015)
    assert found[1].unique().tolist() == [2]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"text": "abc", "measures": ["nap"]}, "measure='nap' is unknown: choose"),
        ({"text": "abc", "measures": ["min_k", "min_k"]}, "measures has min_k twice"),
        ({"text": "abc", "measures": [MeasureSpec("min_k"), "lastde"], "first": -1}, "first"),
        ({"run": "abc", "measures": ["min_k"]}, "run='abc' is no run about a text"),
    ],
)
def test_a_request_is_refused_in_words(values, words) -> None:
    with pytest.raises(ValueError, match=words):
        JudgeRequest(**{"model": "tiny", **values})


@pytest.mark.parametrize(
    ("values", "limit", "words"),
    [
        ({"text": "ab", "add_bos": False}, 2048, "2 tokens leave 1 to judge"),
        ({"text": "abcde", "first": 9}, 2048, "first=9 of .* leaves 0 to judge"),
        ({"text": "abc", "continuation": [9999, 1]}, 2048, "continuation has token 9999"),
        ({"text": "abc", "continuation": [1] * 40}, 30, "continuation has 40 tokens after"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(twins, values, limit, words) -> None:
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=words):
        run(loaded, JudgeRequest(model="tiny", **values), limit)


def test_it_is_cancelled_between_layers(twins, letters) -> None:
    loaded, _ = twins("llama")
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        run(loaded, JudgeRequest(model="tiny", text=letters(30)), cancel=cancel)


def test_defaults_spelled_out_are_the_same_question() -> None:
    plain = JudgeRequest(model="tiny", text="abc", measures=["min_k"])
    spelled = JudgeRequest(model="tiny", text="abc", measures=[MeasureSpec("min_k", share=0.2)])
    assert plain.key("f") == spelled.key("f")
    assert JudgeRequest.model_validate(plain.model_dump(mode="json")) == plain


@pytest.mark.parametrize("kind", [CacheRequest, SpeculateRequest, DecodeRequest])
def test_what_a_run_generated_is_judged_after_its_prompt(lab: Lab, kind: Any) -> None:
    own = {
        CacheRequest: {"policies": ["recent"], "budget": 64},
        SpeculateRequest: {"drafter": "prompt_lookup"},
        DecodeRequest: {"strategies": ["greedy"]},
    }
    text = "Once upon a time there was a fox. Once upon"
    run = lab.run(kind(model="bundled/draft", text=text, max_new_tokens=6, **own[kind]))
    request = lab.request(JudgeRequest, run=run, measures=["min_k", "repetition"])
    found = lab.run(request).result
    assert request.text == text
    assert len(request.continuation) == 6
    assert found.judged.sum() == 6
    assert found.token_ids[found.judged].tolist() == list(request.continuation)
    # All three are greedy and read one prompt: each token was the likeliest.
    assert (found.surprisal_nats[found.judged] <= found.entropy_before_nats[found.judged] + 3).all()


def test_a_trace_is_judged_whole(lab: Lab) -> None:
    run = lab.run(TraceRequest(model="bundled/draft", text="Once upon a time there was a fox."))
    found = lab.run(lab.request(JudgeRequest, run=run, measures=["min_k"])).result
    at = found.judged
    np.testing.assert_allclose(found.surprisal_nats[at], run.result.surprisal_nats[at], atol=1e-4)
    assert at[1:].all()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made
