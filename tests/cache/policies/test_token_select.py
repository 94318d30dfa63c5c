"""TokenSelect against full matrices, by hand, and against the full cache."""

import pytest
import torch

from tests.cache.policies.selecting import agree, expected, highest, live
from tests.cache.policies.twin import TOKENS, holding, view
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policies.token_select import TokenSelect


def voted(budget, first, newest, factor, join=torch.sum):
    """All query heads vote with the mean of the step's queries; a layer reads one set."""

    def rule(layer, step, weights, q, k):
        held, more = k.shape[1], q.shape[1] - 1
        if held <= budget + more:
            return None
        votes = torch.zeros(len(k), len(q) // len(k), held, dtype=torch.float64)
        for h, query in enumerate(q.double().mean(1)):
            g, number = divmod(h, len(q) // len(k))
            votes[g, number] = torch.softmax(k[g].double() @ query * factor, 0)
        always = set(range(first)) | set(range(held - newest - more, held))
        return [highest(join(votes, 1).sum(0), budget + more, always)] * len(k)

    return rule


@pytest.mark.parametrize(("family", "size"), [("llama", 8), ("qwen3", 16), ("gpt_neox", 8)])
@pytest.mark.parametrize("scaled", [False, True])
def test_steps_read_what_heads_vote_for(twins, family, size, scaled):
    loaded, model = twins(family)
    factor = size**-0.5 if scaled else 1.0
    policy = TokenSelect(first=2, newest=3, scaled=scaled)
    agree(live(loaded, policy, 9), expected(model, voted(9, 2, 3, factor)))


def voted_again(budget, first, newest, least, told):
    """The same, but a layer whose queries are as at its last vote reads what it read then."""
    known = {}

    def rule(layer, step, weights, q, k):
        held, more = k.shape[1], q.shape[1] - 1
        found = voted(budget, first, newest, 1.0)(layer, step, weights, q, k)
        if found is None:
            return None
        query = q.double().mean(1).flatten()
        before, inside = known.get(layer, (None, []))
        always = {*range(first), *range(held - newest - more, held)}
        again = before is not None and query @ before >= least * query.norm() * before.norm()
        told.append(bool(again))
        if again:
            return [sorted({*inside, *always})] * len(k)
        known[layer] = query, [at for at in found[0] if at not in always]
        return found

    return rule


@pytest.mark.parametrize("least", [-1.0, 0.2, 1.0])
def test_a_vote_is_read_again_while_queries_stay_alike(twins, least):
    loaded, model = twins("llama")
    told = []
    policy = TokenSelect(first=2, newest=3, reuse=least)
    agree(live(loaded, policy, 9), expected(model, voted_again(9, 2, 3, least, told)))
    assert {-1.0: True, 0.2: True, 1.0: False}[least] in told
    if least == 0.2:
        assert told.count(False) > 3  # each of three layers votes at first


def test_votes_of_a_group_may_be_joined_by_the_highest(twins):
    loaded, model = twins("llama")
    policy = TokenSelect(first=1, newest=1, reduction="max")
    rule = voted(8, 1, 1, 1.0, lambda votes, axis: votes.amax(axis))
    assert live(loaded, policy, 8)[0] == expected(model, rule)[0]
    assert live(loaded, policy, 8)[0] != expected(model, voted(8, 1, 1, 1.0))[0]


def test_votes_by_hand():
    cache = holding(5, 3)
    keys = torch.zeros(1, 5, 4)
    keys[0, :, 0] = torch.tensor([2.0, 5, 4, 1, 1]).log()
    cache.entries.buffers["keys"][:5] = keys[0]
    cache.queries = torch.tensor([[[1.0, 0, 0, 0]], [[0.0, 1, 0, 0]]])
    policy = TokenSelect(first=1, newest=1)
    own = torch.tensor([2.0, 5, 4, 1, 1]) / 13
    votes = policy.scores(
        view(cache, policy)
    )  # the second head sees no difference: a fifth for each
    torch.testing.assert_close(votes[0], (own + 0.2) / 2)
    assert policy.selects(view(cache, policy)).indices[0].tolist() == [0, 1, 4]
    cache.budget = 4
    assert policy.selects(view(cache, policy)).indices[0].tolist() == [0, 1, 2, 4]
    cache.budget = 5
    assert policy.selects(view(cache, policy)) is None


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gemma2", "gpt_oss"])
def test_all_tokens_selected_is_the_full_cache(twins, family):
    loaded, _ = twins(family)
    full, other = (CachedSequence(loaded, policy, 38) for policy in (Full(), TokenSelect()))
    for ids in (TOKENS[:24], *([token] for token in TOKENS[24:])):
        torch.testing.assert_close(other.read(ids), full.read(ids), rtol=0, atol=0)
        assert other.selected == {}
    assert other.cache_bytes == full.cache_bytes
    fewer = CachedSequence(loaded, TokenSelect(), 8)
    fewer.read(TOKENS[:24])
    fewer.read([TOKENS[24]])
    alone = set(fewer.windowed_layers)
    assert set(fewer.selected) == set(range(3)) - alone


def test_always_read_tokens_follow_the_budget():
    fitted = TokenSelect().fitted(2688, 4, 9999)
    assert (fitted.first, fitted.newest) == (128, 512)
    small = TokenSelect().fitted(3, 4, 9999)
    assert (small.first, small.newest, small.smallest_budget()) == (1, 1, 3)
    assert TokenSelect(first=0, newest=7).fitted(99, 4, 9999).smallest_budget() == 8


def test_a_budget_without_room_for_a_vote_is_refused(twins):
    loaded, _ = twins("llama")
    CachedSequence(loaded, TokenSelect(first=2, newest=3), 6)
    with pytest.raises(ValueError, match="budget=5 tokens per head is below the 6"):
        CachedSequence(loaded, TokenSelect(first=2, newest=3), 5)


def test_scores_are_told_where_asked(twins):
    loaded, _ = twins("llama")
    sequence = CachedSequence(loaded, TokenSelect(), 8)
    sequence.keep_scores = True
    sequence.read(TOKENS[:24])
    sequence.read([TOKENS[24]])
    assert sequence.selected[1].scores.shape == (2, 25)
    torch.testing.assert_close(sequence.selected[1].scores.sum(1), torch.ones(2))


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    policy = TokenSelect(first=2, newest=3)
    agree(live(loaded, policy, 9), expected(model, voted(9, 2, 3, 1.0)))


def test_token_select_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
