"""CompressKV keeps what the voting heads' eager attention says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import best, eager_layers
from tests.cache.policies.test_snapkv import shared
from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.probe.runner import probe
from tokenarium.backend.runs.events import CancelToken


def expected(pair, ids, heads, budget=16, window=8, kernel=5):
    request = ProbeRequest(model=pair.loaded.name, period=64, repeats=4)
    result = probe(
        request, replace(pair.loaded, tokenizer=None), 2048, lambda _: None, CancelToken()
    )
    scores = np.maximum(np.nan_to_num(result.echo), np.nan_to_num(result.induction))
    found = []
    for number, layer in enumerate(eager_layers(pair.eager, ids)):
        order = sorted(range(len(scores[number])), key=lambda h: (-scores[number][h], h))[:heads]
        votes = layer.attention[:, -window:, :-window].double().mean(1)[sorted(order)].mean(0)
        chosen = best(shared(votes, kernel, "mean"), budget - window)
        found.append([[*chosen, *range(len(ids) - window, len(ids))]] * 2)
    return found


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_only_heads_that_look_things_up_vote(tiny, heads):
    pair = tiny()
    ids = pair.prompt(61)
    found = kept(pair.under("compress_kv", 16, ids, window=8, heads=heads))
    assert found == expected(pair, ids, heads)


def test_all_heads_voting_is_snapkv_of_a_layer(tiny):
    pair = tiny()
    ids = pair.prompt(61)
    found = kept(pair.under("compress_kv", 16, ids, window=8, heads=4))
    for own, layer in zip(found, eager_layers(pair.eager, ids), strict=True):
        votes = layer.attention[:, -8:, :-8].double().mean((0, 1))
        assert own[0][:-8] == best(shared(votes, 5, "mean"), 8)
    assert isinstance(votes, torch.Tensor)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(61)
    assert kept(pair.under("compress_kv", 16, ids, window=8, heads=1)) == expected(pair, ids, 1)


def test_compress_kv_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
