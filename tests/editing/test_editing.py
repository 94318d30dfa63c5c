"""Edited prompts: spliced caches against reading anew with transformers' eager attention."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tokenarium.backend.editing.request import EditRequest
from tokenarium.backend.editing.runner import edit_prompt
from tokenarium.backend.editing.splice import Piece, Splicer, pieces
from tokenarium.backend.runs.events import Cancelled, CancelToken
from tokenarium.backend.runs.kind import KINDS

TEXT = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EDITS = [(3, 5, "xyz"), (9, 9, "q"), (14, 18, "")]


def run(loaded: Any, edits: Any = EDITS, **given: Any) -> Any:
    request = EditRequest(model="tiny", text=TEXT, edits=edits, max_new_tokens=6, **given)
    return edit_prompt(request, loaded, 2048, lambda _: None, CancelToken())


def eager(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0].double()
    return logits.log_softmax(-1)


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral", "gemma2"])
def test_lanes_are_what_they_say(twins: Any, family: str) -> None:
    loaded, model = twins(family)
    result = run(loaded)
    edited, written = result.edited_ids.tolist(), result.token_ids.tolist()
    assert "".join(result.edited_text) == "<|bos|>ABxyzEFGHqIJKLMRSTUVWXYZ"
    anew = eager(model, edited + written)[len(edited) - 1 : len(edited) - 1 + len(written)]
    assert anew.argmax(-1).tolist() == written
    before = result.prompt_ids.tolist()
    old = eager(model, before + written)[len(before) - 1 : len(before) - 1 + len(written)]
    kl = (anew.exp() * (anew - old)).sum(-1).numpy()
    lane = dict(zip(result.caches, range(4), strict=True))
    np.testing.assert_allclose(result.kl_nats[lane["unedited"]], kl, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(result.kl_nats[lane["recomputed"]], 0, atol=1e-9)
    kept = result.origin >= 0
    assert (result.edited_ids[kept] == result.prompt_ids[result.origin[kept]]).all()
    assert result.computed_tokens.tolist() == [len(edited), 5, 5, 1]
    # Keys of the first layer depend on their own tokens and places alone.
    assert result.key_error[lane["pie"], 0] < 3e-5
    assert result.value_error[lane["pie"], 0] < 1e-6
    assert result.key_error[lane["unturned"], 0] > 0.05
    assert result.key_error[lane["pie"], -1] > 1e-4


def test_one_layer_is_exact_when_keys_are_turned(one_layer: Any) -> None:
    loaded, _ = one_layer
    result = run(loaded)
    _, pie, unturned, _ = result.kl_nats
    assert pie.max() < 1e-9
    assert unturned.max() > 1e-6
    assert result.top1_agree[1].all()


def test_two_splices_are_one_with_both_edits(twins: Any) -> None:
    loaded, _ = twins("llama")
    splicer, ids = Splicer(loaded), list(range(10, 30))
    before = DynamicCache()
    splicer.read(ids, before, 0)
    both = splicer.splice(before, pieces(ids, [(2, 4, [50, 51, 52]), (9, 12, [60])]), turn=True)
    first = pieces(ids, [(2, 4, [50, 51, 52])])
    once = splicer.splice(before, first, turn=True).cache
    then = pieces([token for part in first for token in part.ids], [(10, 13, [60])])
    twice = splicer.splice(once, then, turn=True)
    assert both.computed == 4
    for one, other in zip(both.cache.layers, twice.cache.layers, strict=True):
        torch.testing.assert_close(one.keys, other.keys, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.values, other.values, rtol=1e-4, atol=1e-5)


def test_pieces_by_hand() -> None:
    found = pieces([1, 2, 3, 4, 5], [(0, 1, [9]), (3, 3, [7, 8])])
    assert found == [
        Piece((9,), 0, None),
        Piece((2, 3), 1, 1),
        Piece((7, 8), 3, None),
        Piece((4, 5), 5, 3),
    ]


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([(5, 3, "x")], "end=3 is before start=5"),
        ([(2, 2, "")], "replaces nothing by nothing"),
        ([(4, 6, "x"), (5, 7, "y")], "start=5 after end=6"),
        ([(3, 99, "x")], "end=99 of an edit is not within the 2[67] tokens"),
    ],
)
def test_edits_that_cannot_be_made_are_refused(twins: Any, edits: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run(twins("llama")[0], edits)


def test_models_whose_keys_do_not_turn_are_refused(twins: Any) -> None:
    with pytest.raises(ValueError, match="rotat"):
        run(twins("gpt2")[0])


def test_a_run_is_cancelled_and_edits_have_names(twins: Any) -> None:
    token = CancelToken()
    token.cancel()
    request = EditRequest(model="tiny", text=TEXT, edits=[(1, 2, "x")])
    assert request.edits[0].model_dump() == {"start": 1, "end": 2, "replacement": "x"}
    assert EditRequest.model_validate(request.model_dump(mode="json")) == request
    with pytest.raises(Cancelled):
        edit_prompt(request, twins("llama")[0], 2048, lambda _: None, token)
    assert KINDS.find("edit").request is EditRequest
