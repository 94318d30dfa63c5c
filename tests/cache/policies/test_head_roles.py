"""Policies that split heads by role: roles by the probe's own run, kept sets in Python."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.twin import holding, view
from tokenarium.backend.cache import head_roles
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.head_roles import HeadRoles as Roles
from tokenarium.backend.cache.merging import MERGED, begin
from tokenarium.backend.cache.policies.head_roles import HeadRoles
from tokenarium.backend.cache.policies.razor_attention import RazorAttention
from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.probe.runner import probe
from tokenarium.backend.runs.events import CancelToken

LENGTH, BUDGET = 61, 24


def probed(loaded):
    """Echo and induction [L, G] of a tiny model, the largest of the query heads of a KV head."""
    request = ProbeRequest(model=loaded.name, period=64, repeats=4)
    bare = replace(loaded, tokenizer=None)
    result = probe(request, bare, 2048, lambda _: None, CancelToken())
    return [np.nan_to_num(own).reshape(3, 2, -1).max(-1) for own in (result.echo, result.induction)]


def whole(scores, held, budget=BUDGET):
    """Layer and KV head of those that keep everything, as many as the budget pays for."""
    heads = [(layer, g) for layer in range(3) for g in range(2)]
    count = 0
    while (count + 1) * LENGTH + (6 - count - 1) * held <= budget * 6:
        count += 1
    return sorted(heads, key=lambda at: (-scores[at], at))[:count]


def paid(own, held):
    """What each of the other heads can hold of what the whole ones leave."""
    while len(own) * LENGTH + (6 - len(own)) * (held + 1) <= 6 * BUDGET:
        held += 1
    return held


def ends(first, held):
    return [*range(first), *range(LENGTH - (held - first), LENGTH)]


def expected(loaded, measure, held=12, first=4):
    echo, induction = probed(loaded)
    scores = {"echo": echo, "induction": induction, "either": np.maximum(echo, induction)}[measure]
    own = whole(scores, held)
    assert 0 < len(own) < 6
    held = paid(own, held)
    return [
        [list(range(LENGTH)) if (layer, g) in own else ends(first, held) for g in range(2)]
        for layer in range(3)
    ]


@pytest.mark.parametrize("measure", ["echo", "induction", "either"])
def test_heads_with_the_role_keep_everything(tiny, measure):
    pair = tiny()
    sequence = pair.under("head_roles", BUDGET, pair.prompt(LENGTH), measure=measure)
    assert kept(sequence) == expected(pair.loaded, measure)
    assert sum(len(own) for layer in kept(sequence) for own in layer) > 6 * (BUDGET - 1)
    assert sum(len(own) for layer in kept(sequence) for own in layer) <= 6 * BUDGET
    later = pair.under("head_roles", BUDGET, pair.prompt(LENGTH), steps=[7, 8], measure=measure)
    assert [[own[:-2] for own in layer] for layer in kept(later)] == kept(sequence)


def planted(echo, induction):
    scores = {"echo": np.array(echo, np.float32), "induction": np.array(induction, np.float32)}
    return Roles("of nobody", "probe", scores, 2)


def test_budgets_of_layers_are_what_their_heads_hold():
    roles = planted([[0, 0], [0, 0.0]], [[0.1, 0.9], [0.2, 0.8]])
    policy = HeadRoles().knowing(roles)
    assert policy.whole_heads(40, 60).tolist() == [[False, True], [False, True]]
    assert policy.layer_budgets(40, 2, 60) == [40, 40]
    assert policy.layer_budgets(30, 2, 60) == [math.ceil((20 + 60) / 2), 20]
    assert HeadRoles().layer_budgets(30, 2, 60) == [30, 30]


def test_the_authors_shares_of_both_measures_grow_together():
    echo = np.zeros((10, 20), np.float32)
    induction = np.zeros((10, 20), np.float32)
    echo[2, 3], echo[2, 5] = 0.9, 0.8
    induction[4] = np.linspace(1, 0.5, 20)
    roles = Roles("of nobody", "probe", {"echo": echo, "induction": induction}, 20)
    scores = RazorAttention().scores_of_heads(roles)
    first = np.argsort(-scores.ravel(), kind="stable")[:16]
    assert (2, 3) in [divmod(int(at), 20) for at in first]
    assert (2, 5) not in [divmod(int(at), 20) for at in first]
    assert sum(int(at) // 20 == 4 for at in first) == 15


@pytest.mark.parametrize("compensate", [True, False])
def test_what_is_dropped_becomes_one_entry_that_counts_for_all(twins, monkeypatch, compensate):
    loaded, _ = twins("llama")
    roles = planted(np.zeros((3, 4)), [[0, 0, 0, 0], [0, 0, 0.9, 0], [0, 0, 0, 0]])
    monkeypatch.setattr("tokenarium.backend.cache.engine.head_roles", lambda *_: roles)
    pair = Pair(loaded, None)
    full = pair.under("full", 1, pair.prompt(LENGTH))
    sequence = pair.under(
        "razor_attention", 20, pair.prompt(LENGTH), compensate=compensate, streaming=0.5
    )
    held = kept(sequence)
    assert [len(own) for own in held[1]] == [11, LENGTH]
    stands = [4] if compensate else []
    assert held[0][0] == [0, 1, 2, 3, *stands, *range(LENGTH - 7 + len(stands), LENGTH)]
    if not compensate:
        return
    entries, own = sequence.layers[0].entries, full.layers[0].entries
    gone = slice(4, LENGTH - 6)
    for name in ("keys", "values"):
        mean = own.head(name, 0)[gone].mean(0)
        torch.testing.assert_close(entries.head(name, 0)[4], mean, rtol=1e-5, atol=1e-6)
    assert entries.head(MERGED, 0).tolist() == [0, 0, 0, 0, LENGTH - 10 - 1, 0, 0, 0, 0, 0, 0]


def test_compensation_is_exact_where_all_that_is_dropped_is_alike(twins, monkeypatch):
    """Both read the same token over and over, in a layer whose keys do not turn apart."""
    cache = holding(40, 12)
    cache.entries.buffers["keys"][:40] = torch.randn(40, 4)
    cache.entries.buffers["values"][:40] = torch.randn(40, 4)
    for name in ("keys", "values"):
        cache.entries.buffers[name][4:35] = cache.entries.buffers[name][4].clone()
    query = torch.randn(4)
    keys, values = (cache.entries.buffers[name][:40].clone() for name in ("keys", "values"))
    before = (keys @ query).softmax(0) @ values
    begin(cache.entries)
    cache.whole_budget, cache.roles = 10, planted([[0.0, 0.0]], [[0.0, 0.0]])
    policy = RazorAttention(streaming=1.0).knowing(Roles("x", "probe", cache.roles.scores, 1))
    from tokenarium.backend.cache.merging import log_counts, merge

    choice = policy.kept(view(cache, policy), 10)
    merge(cache.entries, choice.into)
    cache.entries.keep(choice.indices)
    rows = slice(cache.entries.starts[0], cache.entries.starts[0] + cache.entries.counts[0])
    keys, values = (cache.entries.buffers[name][rows] for name in ("keys", "values"))
    assert len(keys) == 10
    logits = keys @ query + log_counts(cache.entries)[rows]
    torch.testing.assert_close(logits.softmax(0) @ values, before, rtol=1e-5, atol=1e-6)


def test_a_model_that_was_not_measured_over_texts_is_refused(twins):
    loaded, _ = twins("llama")
    with pytest.raises(ValueError, match="run tokenarium heads local/llama, or take measured='pr"):
        CachedSequence(loaded, HeadRoles(measured="corpus"), 20)


def test_a_model_is_probed_once(twins, monkeypatch):
    loaded, _ = twins("llama")
    roles = head_roles.head_roles(loaded, "probe")
    monkeypatch.setattr(head_roles, "probe", None)
    assert head_roles.head_roles(loaded, "probe") is roles
    assert roles.fingerprint == loaded.fingerprint


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    found = kept(pair.under("head_roles", BUDGET, pair.prompt(LENGTH), measure="induction"))
    assert found == expected(pair.loaded, "induction")


def test_head_roles_keep_what_they_should(twins) -> None:
    check_kept_sets(twins)
