"""Drafters with a model: their distributions are the model's, and their draws follow them."""

import heapq
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.contracts.test_drafters import rounds
from tests.speculation.conftest import Starts, text_ids
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.drafters.draft_chain import DraftChain
from tokenarium.backend.speculation.drafters.dyspec import DySpec
from tokenarium.backend.speculation.drafters.early_exit import EarlyExit
from tokenarium.backend.speculation.drafters.gumbel_tree import GumbelTree
from tokenarium.backend.speculation.drafters.iid_tree import IidTree
from tokenarium.backend.speculation.drafters.topk_tree import TopkTree
from tokenarium.backend.speculation.tree import ROOT, TokenTree

READING = [one for one in Drafter.registry.all() if one.source not in ("text", "target_states")]
"""Those whose draft reads a text as a model does; heads have tests of their own."""
DRAWING = [one for one in READING if one.draw != "deterministic"]
NAMES = {"ids": lambda one: one.slug}
SHAPE = (-1, 0, 0, 0, 1, 1, 2, 4)


class Table:
    """A reader of a model whose logits after a token are a row of a table, by the token alone."""

    layers = 1

    def __init__(self, logits: Tensor) -> None:
        self.table, self.length, self.parents = logits, 0, list[int]()
        self.passes = 0

    def extend(self, ids: Sequence[int]) -> Tensor:
        self.length += len(ids)
        self.parents = []
        self.passes += 1
        return self.table[ids[-1]]

    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        self.parents += parents
        self.passes += 1
        return self.table[list(ids)]

    def keep(self, path: Sequence[int]) -> int:
        self.length += len(path)
        self.parents = []
        return len(path)


def table_of(tokens: int, seed: int = 0) -> Tensor:
    return torch.randn(tokens, tokens, generator=torch.Generator().manual_seed(seed)) * 1.5


def drafts(
    table: Tensor, seed: int = 0, sizes: tuple[int, int] = (3, 8), **rest: float
) -> DraftState:
    processors = Processors(**{"temperature": 1.0} | rest)
    random, reader = np.random.default_rng(seed), Table(table)
    return DraftState([0, 1], len(table), *sizes, processors, random, reader)


def of_parents(tree: TokenTree) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in tree.tokens]
    for node, parent in enumerate(tree.parents[1:], 1):
        found[parent].append(node)
    return found


def plain_logits(loaded: LoadedModel, ids: list[int], layers: int) -> Tensor:
    """What the model itself says after a text, or says early."""
    with torch.inference_mode():
        out = loaded.model(torch.tensor([ids]), output_hidden_states=True)
        if layers == len(loaded.layers):
            return out.logits[0, -1]
        return loaded.unembed(loaded.final_norm(out.hidden_states[layers]))[0, -1]


@pytest.mark.parametrize("kind", READING, **NAMES)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_every_law_is_the_models_own_after_the_text_and_the_path(
    starts: Starts, kind: type[Drafter], temperature: float
) -> None:
    one = kind()
    processors = {"top_k": 60, "top_p": 0.95, "repetition_penalty": 1.3}
    state = starts(one, text_ids(12), temperature, tree_budget=14, **processors)
    checked = 0
    for _ in range(6):  # a chain may end after one guess
        before = list(state.ids)
        [tree] = rounds(one, state, 1)
        for node, probs in tree.draft_probs.items():
            path = before + [tree.tokens[above] for above in tree.path(node)[1:]]
            reader = state.reader
            logits = plain_logits(reader.loaded, path, reader.layers)
            own = state.processors.soft_probs(logits[None], [path])[0]
            torch.testing.assert_close(probs, own, rtol=1e-4, atol=1e-6)
            checked += node != ROOT
    assert checked > 4


@pytest.mark.parametrize("kind", DRAWING, **NAMES)
def test_draws_have_the_law_that_is_reported(kind: type[Drafter]) -> None:
    """Where a draw falls in the cumulated distribution is uniform."""
    table, random = table_of(6), np.random.default_rng(7)
    state, one = drafts(table), kind()
    places = []
    while len(places) < 1500:
        state.ids.append(int(random.integers(6)))
        tree = one.propose(state)
        for node, children in enumerate(of_parents(tree)):
            probs = tree.draft_probs[node].double().numpy().copy() if children else None
            for child in children:
                probs /= probs.sum()
                token = tree.tokens[child]
                places.append(probs[:token].sum() + random.random() * probs[token])
                if one.draw == "without_replacement":
                    probs[token] = 0
    assert len(places) > 1400
    counts, _ = np.histogram(places, bins=20, range=(0, 1))
    expected = len(places) / 20
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 50.8, f"19 degrees of freedom, probability 1e-4: {counts}"


@pytest.mark.parametrize("kind", [GumbelTree, DySpec])
def test_siblings_come_in_the_order_of_draws_without_replacement(kind: type[Drafter]) -> None:
    state, one = drafts(table_of(4), sizes=(1, 2)), kind()
    probs = torch.softmax(table_of(4)[1], -1).double().numpy()
    count = 2000
    pairs: Counter[tuple[int, ...]] = Counter()
    for _ in range(count):
        state.ids.append(1)
        tree = one.propose(state)
        pairs[tuple(tree.tokens[1:])] += 1
    chi_square = 0.0
    for first in range(4):
        for second in set(range(4)) - {first}:
            chance = probs[first] * probs[second] / (1 - probs[first])
            chi_square += (pairs[first, second] - count * chance) ** 2 / (count * chance)
    assert sum(pairs.values()) == sum(pairs[a, b] for a in range(4) for b in range(4) if a != b)
    assert chi_square < 37.4, "11 degrees of freedom, probability 1e-4"


@pytest.mark.parametrize("kind", READING, **NAMES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_tokens_without_mass_are_never_drafted(kind: type[Drafter], temperature: float) -> None:
    """Laws of one or two tokens leave room for fewer children than a tree wants."""
    table = torch.full((6, 6), float("-inf"))
    table[:, 2], table[::2, 4] = 1.0, 0.5
    state = drafts(table, sizes=(4, 12), temperature=temperature)
    for _ in range(50):
        state.ids.append(int(state.random.integers(6)))
        tree = kind().propose(state)
        assert len(tree) > 1
        assert set(tree.tokens[1:]) <= {2, 4}


def test_a_chain_at_temperature_zero_is_the_drafts_own_text(
    starts: Starts, draft: LoadedModel
) -> None:
    ids = text_ids(9)
    for _ in range(5):
        ids.append(int(plain_logits(draft, ids, 2).argmax()))
    one = DraftChain()
    tree = one.propose(starts(one, ids[:9], 0.0, draft_len=5))
    assert tree.tokens == ids[8:]
    shares = [float(tree.draft_probs[node][tree.tokens[node + 1]]) for node in range(5)]
    assert tree.values[1:] == pytest.approx(np.cumprod(shares).tolist())


def test_a_chain_ends_with_the_token_it_was_unsure_of() -> None:
    state, one = drafts(table_of(6), sizes=(12, 12)), DraftChain(stop_below=0.2)
    lengths = set()
    for _ in range(40):
        tree = one.propose(state)
        shares = [
            float(tree.draft_probs[node][tree.tokens[node + 1]]) for node in range(len(tree) - 1)
        ]
        assert all(share >= 0.2 for share in shares[:-1])
        assert shares[-1] < 0.2 or len(shares) == 12
        lengths.add(len(shares))
        state.ids.append(int(state.random.integers(6)))
    assert len(lengths) > 3


def test_early_exit_reads_the_layers_it_is_told_to() -> None:
    assert [EarlyExit(exit_share=share).layers(8) for share in (0.01, 0.25, 0.5, 0.99)] == [
        1,
        2,
        4,
        7,
    ]
    with pytest.raises(ValueError, match="this one has 1 layer: choose a model of at least 2"):
        EarlyExit().layers(1)


@pytest.mark.parametrize("sizes", [(3, 8), (5, 20), (4, 3), (1, 50)])
def test_the_top_k_tree_is_the_best_of_all_that_were_expanded(sizes: tuple[int, int]) -> None:
    depth, budget = sizes
    table = table_of(12, seed=3)
    for token in range(12):
        state = drafts(table, sizes=sizes)
        state.ids.append(token)
        tree = TopkTree(top_k=3).propose(state)
        everything, level = {(): 1.0}, [()]
        for _ in range(depth):
            below = {}
            for path in level:
                probs = torch.softmax(table[path[-1] if path else token], -1)
                for value, child in zip(*probs.topk(3), strict=True):
                    below[*path, int(child)] = everything[path] * float(value)
            everything |= below
            level = heapq.nlargest(3, below, key=below.__getitem__)
        best = set(heapq.nlargest(budget + 1, everything, key=everything.__getitem__)) - {()}
        found = {
            tuple(tree.tokens[above] for above in tree.path(node)[1:]): tree.values[node]
            for node in tree.verified()
            if node
        }
        assert set(found) == best
        assert found == pytest.approx({path: everything[path] for path in best})
        assert all(value >= 0 for value in tree.values)


def test_the_dynamic_tree_is_the_heap_read_one_node_at_a_time() -> None:
    table = table_of(8, seed=5)
    passes = nodes = 0
    for seed in range(30):
        state = drafts(table, seed, sizes=(4, 14))
        tree = DySpec().propose(state)
        uniforms = np.random.default_rng(seed)
        tokens, parents, values = [1], [-1], [1.0]
        left = {0: torch.softmax(table[1], -1).double()}
        waiting, depths = [(1.0, 0)], [0]
        while waiting and len(tokens) <= 14:
            chance, node = max(waiting, key=lambda one: (one[0], -one[1]))
            waiting.remove((chance, node))
            probs = left[node] / left[node].sum()
            token = int((probs.cumsum(0) > uniforms.random()).nonzero()[0])
            tokens.append(token)
            parents.append(node)
            values.append(chance * float(probs[token]))
            depths.append(depths[node] + 1)
            waiting.append((chance * (1 - float(probs[token])), node))
            left[node][token] = 0
            left[len(tokens) - 1] = torch.softmax(table[token], -1).double()
            if depths[-1] < 4:
                waiting.append((values[-1], len(tokens) - 1))
        assert (tree.tokens, tree.parents) == (tokens, parents)
        assert tree.values == pytest.approx(values)
        passes += state.reader.passes
        nodes += len(tree.draft_probs)
    assert passes < 0.7 * nodes, "nodes are read together where they can be"


@pytest.mark.parametrize("kind", [GumbelTree, IidTree, TopkTree])
def test_a_tree_has_the_shape_it_is_given(kind: type[Drafter]) -> None:
    one = kind(shape=SHAPE)
    state = drafts(table_of(40), sizes=(3, 7))
    one.begin(state)
    full = 0
    for _ in range(20):
        tree = one.propose(state)
        distinct = len(set(tree.tokens[1:4])) == 3
        if one.draw != "iid" or distinct:
            assert sorted(tree.parents) == sorted(SHAPE)
            assert [tree.depth(node) for node in range(8)] == [0, 1, 1, 1, 2, 2, 2, 3]
            full += 1
        state.ids.append(int(state.random.integers(40)))
    assert full >= 5
    state.draft_len = 2
    tree = one.propose(state)
    assert max(map(tree.depth, range(len(tree)))) == 2
    for sizes, remedy in (((3, 6), "raise tree_budget to at least 7"), ((2, 7), "raise draft_len")):
        with pytest.raises(ValueError, match=remedy):
            one.begin(drafts(table_of(40), sizes=sizes))
    with pytest.raises(ValueError, match="gives node 2 the parent 2: allowed is 0 to 1"):
        kind(shape=(-1, 0, 2))


@pytest.mark.parametrize("kind", [GumbelTree, IidTree])
def test_branching_says_how_many_children_a_level_has(kind: type[Drafter]) -> None:
    state = drafts(table_of(50), sizes=(4, 100), temperature=0.0)
    tree = kind(branching=(3, 2, 1)).propose(state)
    assert Counter(map(tree.depth, range(len(tree)))) == {0: 1, 1: 3, 2: 6, 3: 6, 4: 6}
    assert state.reader.passes == 4, "a level is read in one pass"
    state = drafts(table_of(50), sizes=(4, 11), temperature=0.0)
    assert len(kind(branching=(3, 2, 1)).propose(state)) == 12
    with pytest.raises(ValueError, match="branching"):
        kind(branching=())
    with pytest.raises(ValueError, match="branching"):
        kind(branching=(2, 0))


def test_a_token_drawn_again_gets_no_children() -> None:
    state = drafts(table_of(3), sizes=(3, 40))
    repeated = 0
    for _ in range(30):
        tree = IidTree(branching=(4, 2)).propose(state)
        families = of_parents(tree)
        for children in families:
            tokens = [tree.tokens[child] for child in children]
            for place, child in enumerate(children):
                again = tokens[place] in tokens[:place]
                repeated += again
                assert bool(families[child]) == (not again and tree.depth(child) < 3) or (
                    len(tree) == 41
                )
        state.ids.append(int(state.random.integers(3)))
    assert repeated > 50


def test_a_shape_needs_no_more_passes_than_levels(starts: Starts) -> None:
    one = GumbelTree(shape=SHAPE)
    state = starts(one, text_ids(5), draft_len=3)
    calls = []
    read = state.reader.read
    state.reader.read = lambda ids, parents: calls.append(len(ids)) or read(ids, parents)
    one.propose(state)
    assert calls == [2, 1]
