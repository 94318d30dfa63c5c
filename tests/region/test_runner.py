"""A region against the same rectangle of transformers' eager attention."""

from typing import Any

import numpy as np
import pytest
import torch

from tokenarium.backend.observe import kept_attention as kept
from tokenarium.backend.observe.attention import _active
from tokenarium.backend.region.request import RegionRequest
from tokenarium.backend.region.result import RegionResult
from tokenarium.backend.region.runner import region
from tokenarium.backend.runs.events import Cancelled, CancelToken, Progress
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

LENGTH = 70


def ask(text: str, **values: Any) -> RegionRequest:
    where = {"query_start": 20, "query_stop": 61, "key_start": 3, "key_stop": 50}
    chosen = {"model": "tiny", "text": text, "layer": 1, "head": 3, "add_bos": False}
    return RegionRequest(**(chosen | where | {"tiles": 16} | values))


def run(loaded: Any, request: RegionRequest, emit: Any = None, cancel: Any = None) -> RegionResult:
    return region(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())


def expected(weights: np.ndarray, request: RegionRequest) -> tuple[np.ndarray, np.ndarray]:
    """Pool the pairs of each tile, one tile after another; ``weights`` [T, T]."""
    i, j = np.indices(weights.shape)
    sides, tiles = [], []
    for side, position in (("query", i), ("key", j)):
        start, stop = getattr(request, f"{side}_start"), getattr(request, f"{side}_stop")
        count = min(stop - start, request.tiles)
        sides.append(count)
        inside = (position >= start) & (position < stop)
        tiles.append(np.where(inside, (position - start) * count // (stop - start), -1))
    mean, highest = np.full((2, *sides), np.nan)
    for row, column in np.ndindex(*sides):
        pairs = (j <= i) & (tiles[0] == row) & (tiles[1] == column)
        if pairs.any():
            mean[row, column] = weights[pairs].mean()
            highest[row, column] = weights[pairs].max()
    return mean, highest


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"tiles": 256},
        {"head": 0, "layer": 2},
        {"query_start": 0, "query_stop": LENGTH, "key_start": 0, "key_stop": LENGTH},
        {"query_start": 30, "query_stop": 31, "key_start": 28, "key_stop": 29},
        {"query_start": 5, "query_stop": 12, "key_start": 9, "key_stop": 70},
        {"query_start": 0, "query_stop": 9, "key_start": 40, "key_stop": 50},
    ],
)
@pytest.mark.parametrize("family", ["llama", "gpt_oss", "gemma2"])
def test_region_equals_the_rectangle_of_eager_attention(twins, letters, family, where):
    loaded, oracle = twins(family)
    request = ask(letters(LENGTH), **where)
    result = run(loaded, request)
    ids = torch.tensor([loaded.tokenizer(request.text, add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        weights = oracle(ids, output_attentions=True).attentions[request.layer][0, request.head]
    mean, highest = expected(weights.double().numpy(), request)
    np.testing.assert_allclose(result.mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.highest, highest, rtol=1e-5, atol=1e-6)
    for edges, side in ((result.query_edges, "query"), (result.key_edges, "key")):
        assert edges[0] == getattr(request, f"{side}_start")
        assert edges[-1] == getattr(request, f"{side}_stop")
        assert (np.diff(edges) >= 1).all()
    assert (len(result.query_edges), len(result.key_edges)) == tuple(np.add(mean.shape, 1))


def test_region_of_a_whole_text_is_the_traces_map(twins, letters):
    loaded, _ = twins("mistral")
    text = letters(LENGTH)
    whole = {"query_start": 0, "query_stop": LENGTH, "key_start": 0, "key_stop": LENGTH}
    found = run(loaded, ask(text, **whole))
    request = TraceRequest(model="tiny", text=text, tiles=16, add_bos=False)
    traced = trace(request, loaded, 2048, lambda _: None, CancelToken())
    np.testing.assert_allclose(found.mean, traced.attention_tiles_mean[1, 3], rtol=1e-5)
    np.testing.assert_allclose(found.highest, traced.attention_tiles_max[1, 3], rtol=1e-5)


def test_region_stops_at_its_layer(twins, letters):
    loaded, _ = twins("llama")
    ran: list[int] = []
    hooks = [
        layer.register_forward_pre_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(loaded.layers)
    ]
    events: list[Any] = []
    run(loaded, ask(letters(LENGTH), layer=1), events.append)
    for hook in hooks:
        hook.remove()
    assert ran == [0, 1]
    assert any(isinstance(event, Progress) for event in events)
    assert _active.get() is None


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"layer": 3}, r"layer=3 .*choose 0 to 2"),
        ({"head": 4}, r"head=4 .*choose 0 to 3"),
        ({"query_stop": 71}, r"query_stop=71 .*at most 70"),
        ({"key_stop": 99}, r"key_stop=99 .*at most 70"),
    ],
)
def test_region_outside_the_model_or_the_text_is_refused(twins, letters, where, message):
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match=message):
        run(loaded, ask(letters(LENGTH), **where))
    assert _active.get() is None


def test_region_cancelled_stops(twins, letters):
    loaded, _ = twins("llama")
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        run(loaded, ask(letters(LENGTH)), None, cancel)
    assert _active.get() is None


def forward_passes(loaded: Any) -> tuple[list[int], Any]:
    ran: list[int] = []
    hook = loaded.layers[0].register_forward_pre_hook(lambda *_: ran.append(1))
    return ran, hook


@pytest.mark.parametrize("by", ["trace", "region"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gemma2", "gpt_oss", "gpt_neox"])
def test_region_from_kept_queries_and_keys_is_the_recomputed_one(twins, letters, family, by):
    loaded, _ = twins(family)
    text = letters(LENGTH)
    whole = {"query_start": 0, "query_stop": LENGTH, "key_start": 0, "key_stop": LENGTH}
    layers = (0, 2)
    asked = [ask(text, layer=layer, head=3, **where) for layer in layers for where in ({}, whole)]
    again = []
    for request in asked:
        kept.KEPT.clear()
        again.append(run(loaded, request))
    if by == "trace":
        kept.KEPT.clear()
        traced = TraceRequest(model="tiny", text=text, add_bos=False)
        trace(traced, loaded, 2048, lambda _: None, CancelToken())
    ran, hook = forward_passes(loaded)
    found = [run(loaded, request) for request in asked]
    hook.remove()
    assert ran == []
    for request, one, other in zip(asked, found, again, strict=True):
        assert other.source == "the model read the text again"
        assert one.source == "kept queries and keys"
        # A trace's own kernel rounds what later layers read in another order.
        exact = by == "region" or request.layer == 0
        for name, values in one.arrays().items():
            tolerance = 0 if exact else 1e-5
            np.testing.assert_allclose(
                values, other.arrays()[name], rtol=tolerance, atol=tolerance / 10, err_msg=name
            )


def test_region_keeps_the_layers_it_passes(twins, letters):
    loaded, _ = twins("llama")
    text = letters(LENGTH)
    run(loaded, ask(text, layer=1))
    ran, hook = forward_passes(loaded)
    assert run(loaded, ask(text, layer=0)).source == "kept queries and keys"
    assert run(loaded, ask(text[1:], layer=0, query_stop=60)).source != "kept queries and keys"
    assert run(loaded, ask(text, layer=2)).source != "kept queries and keys"
    hook.remove()
    assert len(ran) == 2


def test_region_from_what_is_kept_refuses_a_head_outside_the_model(twins, letters):
    loaded, _ = twins("llama")
    run(loaded, ask(letters(LENGTH)))
    with pytest.raises(ValueError, match=r"head=4 .*choose 0 to 3"):
        run(loaded, ask(letters(LENGTH), head=4))


def test_region_above_the_length_kept_reads_the_text_again(twins, letters, monkeypatch):
    monkeypatch.setattr(kept, "MOST_TOKENS", LENGTH - 1)
    loaded, _ = twins("llama")
    for _ in range(2):
        assert run(loaded, ask(letters(LENGTH))).source == "the model read the text again"
    assert kept.KEPT.held_bytes == 0


def test_region_that_would_not_fit_is_refused_unless_it_is_kept(twins, letters, monkeypatch):
    loaded, _ = twins("llama")
    run(loaded, ask(letters(LENGTH)))
    monkeypatch.setattr("tokenarium.backend.cost.free_memory.free_bytes", lambda _: 1000)
    assert run(loaded, ask(letters(LENGTH))).source == "kept queries and keys"
    with pytest.raises(ValueError, match="are free: choose a smaller model"):
        run(loaded, ask(letters(LENGTH), layer=2))


def test_region_has_up_to_512_tiles_a_side(twins, letters):
    loaded, _ = twins("llama")
    where = {"query_start": 0, "query_stop": 600, "key_start": 0, "key_stop": 600, "tiles": 512}
    assert run(loaded, ask(letters(600), **where)).mean.shape == (512, 512)
