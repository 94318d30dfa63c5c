"""A probe against transformers' eager attention, whole matrices and loops over the definition."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tokenarium.backend.observe import AttentionCall
from tokenarium.backend.observe.attention import _active
from tokenarium.backend.probe.chance import copies_before, mean_at
from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.probe.result import ProbeResult
from tokenarium.backend.probe.runner import _Diagonals, probe
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress
from tokenarium.backend.runs.progress import ProgressReporter

SCORES = ("echo", "induction", "previous_mass", "self_mass", "sink_score", "attention_distance")
CHANCES = ("echo_chance", "induction_chance", "previous_chance", "self_chance", "sink_chance",
           "distance_chance")  # fmt: skip


def run(loaded: Any, emit: Any = None, cancel: Any = None, **values: Any) -> ProbeResult:
    request = ProbeRequest(model="tiny", **({"period": 9, "repeats": 4} | values))
    return probe(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())


def scores(a: np.ndarray, first: int, period: int, repeats: int) -> dict[str, np.ndarray]:
    """Follow the definitions one query and one key at a time; ``a`` [L, H, T, T]."""
    length = a.shape[-1]
    echo, induction, queries = 0, 0, 0
    for copy in range(1, repeats):
        for place in range(period):
            i = first + copy * period + place
            for earlier in range(copy):
                same = first + earlier * period + place
                echo = echo + a[..., i, same]
                induction = induction + a[..., i, same + 1]
            queries += 1
    back = np.arange(length)[:, None] - np.arange(length)
    return {
        "echo": echo / queries,
        "induction": induction / queries,
        "previous_mass": a.diagonal(-1, -2, -1).mean(-1),
        "self_mass": a.diagonal(0, -2, -1).mean(-1),
        "sink_score": a[..., 0].mean(-1),
        "attention_distance": (a * back).sum(-1).mean(-1),
    }


@pytest.mark.parametrize(("period", "repeats"), [(9, 4), (4, 2), (30, 3)])
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gemma2", "gpt_oss"])
def test_probe_equals_eager_attention(twins, family, period, repeats):
    loaded, oracle = twins(family)
    result = run(loaded, period=period, repeats=repeats)
    ids = torch.tensor([result.token_ids.tolist()])
    with torch.inference_mode():
        weights = torch.cat(oracle(ids, output_attentions=True).attentions).double().numpy()
    assert result.begins_with_bos
    for name, expected in scores(weights, 1, period, repeats).items():
        np.testing.assert_allclose(
            getattr(result, name), expected, rtol=1e-4, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_chance_is_the_score_of_even_attention(twins, family):
    loaded, _ = twins(family)
    result = run(loaded)
    length = len(result.token_ids)
    window = getattr(loaded.model.config, "sliding_window", None) or length
    i, j = np.indices((length, length))
    seen = ((j <= i) & (i - j < window)).astype(float)
    even = (seen / seen.sum(-1, keepdims=True))[None, None]
    found = scores(even, 1, 9, 4)
    for score, chance in zip(SCORES, CHANCES, strict=True):
        np.testing.assert_allclose(getattr(result, chance), found[score].item(), rtol=1e-5)
        assert getattr(result, chance).shape == (3,)


def test_tokens_are_distinct_ordinary_and_repeated(twins):
    loaded, _ = twins("llama")
    result = run(loaded, period=200, repeats=3)
    bos, said = result.token_ids[0], result.token_ids[1:].reshape(3, 200)
    assert bos == loaded.tokenizer.bos_token_id
    assert (said == said[0]).all()
    assert len(set(said[0].tolist())) == 200
    assert not set(said[0].tolist()) & set(loaded.tokenizer.all_special_ids)
    assert len(result.token_text) == 601


def test_same_seed_same_tokens_another_seed_others(twins):
    loaded, _ = twins("llama")
    first, again, other = run(loaded), run(loaded), run(loaded, seed=1)
    np.testing.assert_array_equal(first.token_ids, again.token_ids)
    np.testing.assert_array_equal(first.echo, again.echo)
    assert (first.token_ids != other.token_ids).any()


def test_copies_before_by_hand():
    assert copies_before(1, 3, 10).tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert copies_before(0, 4, 9).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_mean_of_even_weights_by_hand():
    # Queries 2 and 3 see 3 and 4 keys; one back: (1/3 + 1/4) / 2. With a window of 1, nothing.
    asked, back = np.array([False, False, True, True]), np.ones(4, np.int_)
    assert mean_at([back], asked, None) == pytest.approx(7 / 24)
    assert mean_at([back], asked, 1) == 0
    assert mean_at([back, back * 0], asked, 2) == pytest.approx(1)


def looking_at(target: np.ndarray) -> AttentionCall:
    """One head whose query i gives all its weight to key ``target[i]``."""
    keys = torch.eye(len(target))
    return AttentionCall(
        0, 1e3 * keys[target][None, None], keys[None, None], keys[None, None], 1, 0
    )


@pytest.mark.parametrize(
    ("back", "echo", "induction"),
    # Two copies back, queries 18 to 35 of the 27 find theirs, and query 9 looks at its own, key 0.
    [(8, 0, 1), (18, 19 / 27, 0)],
)
def test_an_induction_head_and_an_echo_head_are_told_apart(back, echo, induction):
    request, i = ProbeRequest(model="tiny", period=9, repeats=4), np.arange(36)
    watch = _Diagonals(request, 0, 36, 1, ProgressReporter(lambda _: None, CancelToken()))
    watch.attend(looking_at(np.where(i >= back, i - back, 0)))
    assert watch.scores["echo"][0].item() == pytest.approx(echo, abs=1e-5)
    assert watch.scores["induction"][0].item() == pytest.approx(induction, abs=1e-5)


def test_copies_beyond_the_context_are_refused_with_what_would_fit(twins):
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=r"is 2081 tokens, the limit is 2048.*period=127 or less"):
        run(loaded, period=130, repeats=16)
    request = ProbeRequest(model="tiny", period=60, repeats=4)
    with pytest.raises(ValueError, match=r"241 tokens, the limit is 100: choose period=24"):
        probe(request, loaded, 100, lambda _: None, CancelToken())


def test_more_tokens_than_the_vocabulary_has_are_refused(twins):
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=r"period=500 is above the 262 ordinary tokens"):
        run(loaded, period=500, repeats=2)


@pytest.mark.parametrize("values", [{"period": 3}, {"period": 4097}, {"repeats": 1}, {"text": "a"}])
def test_request_is_bounded(values):
    with pytest.raises(ValidationError):
        ProbeRequest(model="tiny", **values)


def test_cancelled_it_stops_and_progress_is_told(twins):
    loaded, _ = twins("llama")
    events: list[Any] = []
    run(loaded, events.append)
    assert [event.done for event in events if isinstance(event, Progress)] == [0, 1, 2]
    cancel = CancelToken()
    with pytest.raises(Cancelled):
        run(loaded, lambda _: cancel.cancel(), cancel)
    assert _active.get() is None
