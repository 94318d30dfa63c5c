"""Drafters without a model, against searches written out anew and counts done by hand."""

import time
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.drafters.jacobi import Jacobi
from tokenarium.backend.speculation.drafters.prompt_lookup import PromptLookup
from tokenarium.backend.speculation.drafters.token_recycling import TokenRecycling, template
from tokenarium.backend.speculation.drafters.trie_lookahead import TrieLookahead
from tokenarium.backend.speculation.tree import ROOT, TokenTree

VOCABULARY = 40


def begun(drafter: Drafter, ids: list[int], draft_len: int = 4, budget: int = 16) -> DraftState:
    state = DraftState(
        list(ids), VOCABULARY, draft_len, budget, Processors(), np.random.default_rng(0)
    )
    drafter.begin(state)
    return state


def grown(drafter: Drafter, ids: list[int], prompt: int, **sizes: int) -> TokenTree:
    """The tree for a text whose tokens after the prompt came one round at a time."""
    state = begun(drafter, ids[:prompt], **sizes)
    for token in ids[prompt:]:
        drafter.propose(state)
        state.ids.append(token)
    return drafter.propose(state)


def text(length: int, letters: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, letters, length).tolist()


def copied(ids: list[int], longest: int, match: str, count: int) -> tuple[int, list[int]]:
    """Prompt lookup by rescanning the whole text."""
    for size in range(min(longest, len(ids) - 1), 0, -1):
        starts = [
            end for end in range(size, len(ids)) if ids[end - size : end] == ids[len(ids) - size :]
        ]
        if starts:
            start = starts[0] if match == "first" else starts[-1]
            out = list(ids)
            for step in range(count):
                out.append(out[start + step])
            return size, out[len(ids) :]
    return 0, []


@pytest.mark.parametrize("match", ["recent", "first"])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 60, 61])
def test_prompt_lookup_copies_what_a_rescan_finds(match: str, length: int) -> None:
    for seed in range(20):
        ids = text(length, 4, seed)
        drafter = PromptLookup(longest=3, match=match)
        tree = grown(drafter, ids, prompt=max(1, length // 2), draft_len=5)
        size, expected = copied(ids, 3, match, 5)
        assert tree.tokens == [ids[-1], *expected]
        assert tree.parents == list(range(-1, len(expected)))
        assert tree.sources[1:] == [f"{size}-gram"] * len(expected)


def test_a_copy_that_may_not_go_on_ends_where_the_text_does() -> None:
    ids = [5, 6, 7, 5, 6]
    assert grown(PromptLookup(), ids, 10, draft_len=7).tokens == [6, 7, 5, 6, 7, 5, 6, 7]
    assert grown(PromptLookup(goes_on=False), ids, 10, draft_len=7).tokens == [6, 7, 5, 6]
    assert grown(PromptLookup(goes_on=False), ids, 10, draft_len=2).tokens == [6, 7, 5]


def test_prompt_lookup_takes_the_recent_match_or_the_first() -> None:
    ids = [1, 2, 7, 7, 1, 2, 9, 8, 1, 2]
    assert grown(PromptLookup(), ids, 10, draft_len=2).tokens == [2, 9, 8]
    assert grown(PromptLookup(match="first"), ids, 10, draft_len=2).tokens == [2, 7, 7]


def test_prompt_lookup_goes_on_with_its_own_copy() -> None:
    assert grown(PromptLookup(), [5, 1, 2, 1, 2], 5, draft_len=6).tokens == [2, 1, 2, 1, 2, 1, 2]


def test_prompt_lookup_keeps_to_the_tree_budget() -> None:
    assert len(grown(PromptLookup(), [5, 5, 5], 3, draft_len=9, budget=4)) == 5


def trie_weights(
    ids: list[int], prompt: int, size: int, depth: int, output: float
) -> Counter[tuple[int, ...]]:
    """Weight of every branch after the ending of ``size`` tokens, by listing all branches."""
    weights: Counter[tuple[int, ...]] = Counter()
    for end in range(size, len(ids)):
        if ids[end - size : end] == ids[len(ids) - size :]:
            for length in range(1, min(depth, len(ids) - end) + 1):
                inside = end + length <= prompt
                weights[tuple(ids[end : end + length])] += 1 - output if inside else output
    return weights


def branch(tree: TokenTree, node: int) -> tuple[int, ...]:
    return tuple(tree.tokens[above] for above in tree.path(node)[1:])


@pytest.mark.parametrize("output_weight", [1e-4, 0.5])
@pytest.mark.parametrize("length", [3, 30, 61])
def test_trie_lookahead_holds_the_heaviest_branches(length: int, output_weight: float) -> None:
    for seed in range(10):
        ids = text(length, 3, seed)
        prompt = length // 2
        drafter = TrieLookahead(ending=2, output_weight=output_weight)
        tree = grown(drafter, ids, prompt, draft_len=3, budget=7)
        weights = trie_weights(ids, prompt, 2, 3, output_weight)
        of_two = [node for node in range(1, len(tree)) if tree.sources[node] == "2-gram"]
        assert len(of_two) == min(7, len(weights))
        held = sorted((weights[branch(tree, node)] for node in of_two), reverse=True)
        assert held == pytest.approx(sorted(weights.values(), reverse=True)[: len(of_two)])
        total = sum(weight for path, weight in weights.items() if len(path) == 1)
        for node in of_two:
            assert tree.values[node] == pytest.approx(weights[branch(tree, node)] / total)
        # What two tokens leave of the budget, the last token alone fills.
        rest = trie_weights(ids, prompt, 1, 3, output_weight)
        assert len(tree) - 1 == min(7, len(weights.keys() | rest.keys()))


def test_trie_lookahead_merges_common_beginnings_and_repeats_no_sibling() -> None:
    tree = grown(TrieLookahead(), [1, 2, 3, 4, 1, 2, 3, 5, 1, 2], 10, draft_len=2)
    assert {branch(tree, node) for node in range(1, len(tree))} == {(3,), (3, 4), (3, 5)}
    for seed in range(20):
        tree = grown(TrieLookahead(ending=3), text(80, 4, seed), 40, budget=30)
        places = [(tree.parents[node], tree.tokens[node]) for node in range(1, len(tree))]
        assert len(set(places)) == len(places) == 30


def test_trie_lookahead_prefers_the_prompt_to_the_output() -> None:
    ids = [1, 2, 1, 3, 1, 3, 1]
    first = grown(TrieLookahead(ending=1), ids, prompt=2, draft_len=1, budget=1)
    assert first.tokens == [1, 2]
    often = grown(TrieLookahead(ending=1, output_weight=0.5), ids, prompt=2, draft_len=1, budget=1)
    assert often.tokens == [1, 3]


def test_template_of_the_authors_size_has_their_counts() -> None:
    nodes = template(80, 6)
    depths = [0]
    for parent, _ in nodes:
        depths.append(depths[parent] + 1)
    assert [depths.count(depth) for depth in range(1, 7)] == [8, 21, 25, 15, 8, 3]


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 16, 33, 64, 80, 128])
@pytest.mark.parametrize("depth", [1, 2, 5, 6, 9])
def test_template_is_a_tree_within_budget_and_depth(budget: int, depth: int) -> None:
    nodes = template(budget, depth)
    depths = [0]
    for place, (parent, rank) in enumerate(nodes, 1):
        assert parent < place
        assert 0 <= rank < 8
        depths.append(depths[parent] + 1)
    assert len(set(nodes)) == len(nodes)
    assert max(depths) <= depth
    assert depths == sorted(depths)
    assert len(nodes) == min(budget, sum(8**level for level in range(1, depth + 1)))


def test_token_recycling_proposes_what_the_target_thought_last() -> None:
    drafter = TokenRecycling()
    state = begun(drafter, [3], draft_len=2, budget=4)
    empty = drafter.propose(state)
    assert empty.tokens == [3]
    logits = torch.zeros(1, VOCABULARY)
    logits[0, 5:15] = torch.arange(10, 0, -1).float()  # the 8 likeliest: 5 to 12
    drafter.update(state, empty, logits)
    assert state.memory["next"][3].tolist() == list(range(5, 13))
    tree = drafter.propose(state)
    assert [tree.tokens[node] for node in tree.children(ROOT)] == [5]
    drafter.update(state, tree, torch.cat([logits, logits.roll(1, -1)]))
    assert state.memory["next"][5].tolist() == list(range(6, 14))
    tree = drafter.propose(state)
    assert tree.tokens == [3, 5, 6, 7, 8]
    assert tree.parents == [-1, 0, 1, 1, 1]


def test_token_recycling_remembers_the_last_of_equal_tokens() -> None:
    drafter = TokenRecycling()
    state = begun(drafter, [3])
    tree = TokenTree.of(3)
    tree.add(tree.add(ROOT, 9), 3)
    logits = torch.stack([torch.arange(40.0).roll(turn) for turn in (0, 0, 5)])
    drafter.update(state, tree, logits)
    assert state.memory["next"][3, 0] == 4
    assert state.memory["next"][9, 0] == 39


def test_token_recycling_begins_every_run_empty() -> None:
    drafter = TokenRecycling()
    first = begun(drafter, [3])
    drafter.update(first, TokenTree.of(3), torch.rand(1, VOCABULARY))
    assert drafter.propose(begun(drafter, [3])).tokens == [3]


def test_token_recycling_fits_a_vocabulary_below_its_candidates() -> None:
    drafter = TokenRecycling()
    state = DraftState([1], 5, 3, 10, Processors(), np.random.default_rng(0))
    drafter.begin(state)
    drafter.update(state, TokenTree.of(1), torch.arange(5.0)[None])
    tree = drafter.propose(state)
    assert [tree.tokens[node] for node in tree.children(ROOT)] == [4]


@pytest.mark.parametrize("drafter", [PromptLookup(), TrieLookahead()])
def test_proposing_at_4096_tokens_takes_less_than_a_millisecond(drafter: Drafter) -> None:
    ids = text(4096, 300)
    state = begun(drafter, ids, draft_len=8, budget=64)
    took = []
    for token in [*text(50, 300, 1)]:
        state.ids.append(token)
        start = time.process_time()
        drafter.propose(state)
        took.append(time.process_time() - start)
    assert float(np.median(took)) < 1e-3


def logits_of(rows: list[int]) -> torch.Tensor:
    """Logits whose likeliest tokens are given."""
    return torch.nn.functional.one_hot(torch.tensor(rows), VOCABULARY).float()


def test_jacobi_moves_what_the_target_said_along_by_what_was_accepted() -> None:
    drafter = Jacobi(pool=0)
    state = begun(drafter, [9, 8, 7], draft_len=3)
    tree = drafter.propose(state)
    assert tree.tokens == [7, 9, 8, 7]  # the prompt's beginning
    drafter.update(state, tree, logits_of([9, 5, 6, 4]))
    state.ids += [9, 5]  # one guess was right, and 5 follows it
    # After 8, which was wrong, the target said 6, and after the guess behind it 4.
    assert drafter.propose(state).tokens[:3] == [5, 6, 4]


def test_jacobi_has_the_greedy_text_as_its_fixed_point() -> None:
    drafter, rule = Jacobi(), {token: (7 * token + 3) % VOCABULARY for token in range(VOCABULARY)}
    state = begun(drafter, [1, 2], draft_len=4)
    longest = 0
    for _ in range(12):
        tree = drafter.propose(state)
        nodes = tree.verified()
        drafter.update(state, tree, logits_of([rule[tree.tokens[node]] for node in nodes]))
        node, new = ROOT, []
        while True:
            token = rule[tree.tokens[node]]
            new.append(token)
            below = [n for n in nodes if tree.parents[n] == node and tree.tokens[n] == token]
            if not below:
                break
            node = below[0]
        longest = max(longest, len(new))
        state.ids += new
    assert all(rule[one] == other for one, other in pairwise(state.ids[1:]))
    assert longest == Jacobi().ngram  # a remembered n-gram, and the token after it


def test_jacobi_drafts_ngrams_that_followed_the_root_before() -> None:
    drafter = Jacobi(ngram=3, pool=2)
    state = begun(drafter, [5, 6], draft_len=3)
    tree = drafter.propose(state)
    drafter.update(state, tree, logits_of([1, 2, 3, 6]))
    assert state.memory["pool"] == {6: [(1, 2)], 1: [(2, 3)], 2: [(3, 6)]}
    state.ids += [4, 1]
    tree = drafter.propose(state)
    assert (tree.sources[-2:], tree.tokens[-2:]) == (["n-gram"] * 2, [2, 3])
