"""Token merging against a Llama taken through its layers by hand."""

import pytest
import torch
from torch import Tensor

from tests.cache.policies.conftest import Pair, kept
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.merging import MERGED
from tokenarium.backend.cache.policies.token_merge import TokenMerge

LENGTH, BUDGET = 41, 20


def runs(states: Tensor, first: int, newest: int) -> list[list[int]]:
    """Runs of neighbours, the most similar joined first, one at a time."""
    own = states.double()
    alike = {
        t: float(own[t] @ own[t - 1] / own[t].norm() / own[t - 1].norm())
        for t in range(first + 1, LENGTH - newest)
    }
    joined = set(sorted(alike, key=lambda t: (-alike[t], -t))[: LENGTH - BUDGET])
    found: list[list[int]] = []
    for t in range(LENGTH):
        if t in joined:
            found[-1].append(t)
        else:
            found.append([t])
    return found


@torch.inference_mode()
def by_hand(model, ids: list[int], layer: int, first: int = 1, newest: int = 8):
    """Runs, and the log-probabilities after the prompt."""
    inner, at = model.model, torch.arange(LENGTH)
    hidden = inner.embed_tokens(torch.tensor([ids]))
    for number, block in enumerate(inner.layers):
        if number == layer:
            found = runs(hidden[0], first, newest)
            hidden = torch.stack([hidden[0, own].mean(0) for own in found])[None]
            at = torch.tensor([own[0] for own in found])
        later = at[:, None] < at
        mask = torch.zeros(later.shape).masked_fill(later, -torch.inf)[None, None]
        turns = inner.rotary_emb(hidden, at[None])
        hidden = block(hidden, attention_mask=mask, position_embeddings=turns)
    logits = model.lm_head(inner.norm(hidden))[0, -1]
    return found, logits.double().log_softmax(-1)


@pytest.mark.parametrize(("family", "layer"), [("llama", 0), ("llama", 2), ("qwen3", 1)])
def test_later_layers_read_the_mean_of_every_run(tiny, family, layer):
    pair = tiny(family)
    ids = pair.prompt(LENGTH)
    full = pair.under("full", 1, ids)
    sequence = CachedSequence(pair.loaded, TokenMerge(layer=layer), BUDGET)
    logits = sequence.read(ids)
    found, log_p = by_hand(pair.eager, ids, layer)
    torch.testing.assert_close(logits.double().log_softmax(-1), log_p, rtol=1e-4, atol=1e-4)
    first = [own[0] for own in found]
    assert kept(sequence) == [[first, first]] * 3
    for number, held in enumerate(sequence.layers):
        sizes = [len(own) - 1 if number < layer else 0 for own in found]
        assert held.entries.head(MERGED, 1).tolist() == sizes
    if layer:
        whole = full.layers[0].entries.head("keys", 1)
        means = torch.stack([whole[own].mean(0) for own in found])
        held = sequence.layers[0].entries.head("keys", 1)
        torch.testing.assert_close(held, means, rtol=1e-5, atol=1e-5)
    assert sequence.read([5]).isfinite().all()


def test_where_everything_went_is_noted(tiny):
    pair, ids = tiny(), tiny().prompt(LENGTH)
    sequence = CachedSequence(pair.loaded, TokenMerge(layer=2), BUDGET)
    sequence.read(ids)
    found, _ = by_hand(pair.eager, ids, 2)
    into = {at: own[0] for own in found for at in own[1:]}
    assert {drop.layer for drop in sequence.dropped} == {0, 1, 2}
    for drop in sequence.dropped:
        assert dict(zip(drop.positions[1].tolist(), drop.into[1].tolist(), strict=True)) == into


def test_a_layer_the_model_does_not_have_is_refused():
    with pytest.raises(ValueError, match="layer=9 is no layer of a model of 8: choose at most 7"):
        TokenMerge(layer=9).fitted(64, 8, 512)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(LENGTH)
    sequence = CachedSequence(pair.loaded, TokenMerge(layer=1), BUDGET)
    sequence.read(ids)
    first = [own[0] for own in by_hand(pair.eager, ids, 1)[0]]
    assert kept(sequence) == [[first, first]] * 3


def test_token_merge_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
