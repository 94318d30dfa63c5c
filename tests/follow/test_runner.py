"""A followed token against its row and its column of transformers' eager attention."""

from typing import Any

import numpy as np
import pytest
import torch

from tokenarium.backend.follow.request import FollowRequest
from tokenarium.backend.follow.result import FollowResult
from tokenarium.backend.follow.runner import follow
from tokenarium.backend.runs.events import Cancelled, CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

FAMILIES = ["llama", "gpt2", "qwen3", "mistral", "gemma2", "gpt_oss"]
LENGTH = 70


def run(loaded: Any, text: str, **values: Any) -> FollowResult:
    chosen = {"model": "tiny", "layer": 1, "head": 3, "token": 30, "add_bos": False}
    request = FollowRequest(text=text, **(chosen | values))
    return follow(request, loaded, 2048, lambda _: None, CancelToken())


def eager(loaded: Any, oracle: Any, text: str) -> np.ndarray:
    ids = loaded.tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.inference_mode():
        weights = oracle(input_ids=ids, output_attentions=True).attentions
    return torch.cat(weights).numpy()  # [L, H, T, T]


@pytest.mark.parametrize("token", [0, 1, 30, LENGTH - 1])
@pytest.mark.parametrize("family", FAMILIES)
def test_row_and_column_equal_eager_attention(twins, letters, family, token) -> None:
    loaded, oracle = twins(family)
    text = letters(LENGTH)
    found = run(loaded, text, token=token)
    weights = eager(loaded, oracle, text)[1, 3]
    np.testing.assert_allclose(found.looks_at[: token + 1], weights[token, : token + 1], atol=2e-6)
    np.testing.assert_allclose(found.looked_at_by[token:], weights[token:, token], atol=2e-6)
    assert np.isnan(found.looks_at[token + 1 :]).all()
    assert np.isnan(found.looked_at_by[:token]).all()


def test_a_text_that_was_just_read_is_not_read_again(twins, letters) -> None:
    loaded, _ = twins("llama")
    text = letters(LENGTH)
    read = run(loaded, text)
    asked = TraceRequest(model="tiny", text=text, add_bos=False, logit_lens=False)
    trace(asked, loaded, 2048, lambda _: None, CancelToken())
    kept = run(loaded, text)
    assert (read.source, kept.source) == ("the model read the text again", "kept queries and keys")
    np.testing.assert_allclose(read.looks_at, kept.looks_at, rtol=1e-5)
    np.testing.assert_allclose(read.looked_at_by, kept.looked_at_by, rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "said"),
    [({"layer": 9}, "layer=9"), ({"head": 8}, "head=8"), ({"token": 70}, "token=70")],
)
def test_what_does_not_exist_is_named(twins, letters, values, said) -> None:
    with pytest.raises(ValueError, match=said):
        run(twins("llama")[0], letters(LENGTH), **values)


def test_a_cancelled_run_stops(twins, letters) -> None:
    cancel = CancelToken()
    cancel.cancel("stop")
    request = FollowRequest(model="tiny", text=letters(9), layer=0, head=0, token=1)
    with pytest.raises(Cancelled):
        follow(request, twins("llama")[0], 2048, lambda _: None, cancel)
