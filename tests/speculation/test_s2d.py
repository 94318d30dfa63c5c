"""S2D: what nested exits of one draft say and read, their exact output, and whole runs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.speculation.conftest import loaded_from, text_ids
from tests.speculation.test_model_drafters import plain_logits
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.jobs import CancelToken
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.drafters.s2d import S2D
from tokenarium.backend.speculation.enumeration import joint_distribution
from tokenarium.backend.speculation.nested_reader import NestedReader
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.speculation.tree import TokenTree

EXITS = (1, 2, 3)
SURE = 0.5
ROUNDS = 6


def started(target: LoadedModel, ids: list[int], seed: int = 0, **rest: float) -> DraftState:
    reads: list[int] = []
    reader = NestedReader(TreeReader(target, 8, lambda: reads.append(1)), EXITS)
    processors = Processors(**{"temperature": 1.0} | rest)
    random = np.random.default_rng(seed)
    state = DraftState(list(ids), 272, 4, 8, processors, random, reader)
    state.memory["reads"] = reads
    return state


@torch.inference_mode()
def advanced(state: DraftState, one: S2D, kept: int) -> TokenTree:
    """Draft a chain, of which so many tokens at most are accepted, and one follows."""
    tree = one.propose(state)
    path = list(range(min(kept, len(tree) - 1) + 1))
    state.keep(path)
    state.ids += [tree.tokens[node] for node in path[1:]] + [60 + kept]
    return tree


def said_by(tree: TokenTree, node: int) -> int:
    return int(tree.sources[node].rpartition(" ")[2])


@pytest.mark.parametrize("rest", [{}, {"top_k": 40, "repetition_penalty": 1.3}])
def test_every_token_is_said_by_the_first_exit_that_is_sure(
    target: LoadedModel, rest: dict[str, float]
) -> None:
    one, used = S2D(shallowest=0.3, sure=SURE), set()
    assert one.exits(3) == EXITS
    state = started(target, text_ids(9), **rest)
    for number in range(ROUNDS):
        before = list(state.ids)
        tree = advanced(state, one, number % 5)
        for node, probs in tree.draft_probs.items():
            path = before + [tree.tokens[above] for above in tree.path(node)[1:]]
            chosen = said_by(tree, node + 1)
            for layers in EXITS:
                logits = plain_logits(target, path, layers)
                own = state.processors.soft_probs(logits[None], [path])[0]
                if layers == chosen:
                    torch.testing.assert_close(probs, own, rtol=1e-4, atol=1e-6)
                    break
                assert float(own.max()) < SURE
            assert chosen == EXITS[-1] or float(probs.max()) >= SURE
            used.add(chosen)
    assert used == set(EXITS)


def test_no_layer_reads_a_token_twice(target: LoadedModel) -> None:
    """Of all tokens that are read, those that an exit needs, by each layer once."""
    for sure, layers in ((0.0, 1), (1.0, 3)):
        state = started(target, text_ids(9))
        one = S2D(shallowest=0.3, sure=sure)
        for _ in range(ROUNDS):
            advanced(state, one, 2)
        passes = len(state.memory["reads"])
        assert passes == ROUNDS * 4 * layers, "each guess is one pass of the layers it takes"
        reader = state.reader
        assert isinstance(reader, NestedReader)
        assert [count > 0 for count in reader._through] == [layers > n for n in range(3)]


def _table(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


class NestedTables:
    """Exits that say a row of their own table after a token."""

    def __init__(self, tables: list[Tensor]) -> None:
        self._tables, self.parents = tables, list[int]()
        self.exits = tuple(range(1, len(tables) + 1))
        self.layers = 1
        self._last = 0

    def extend(self, ids: list[int]) -> Tensor:
        self.parents, self.layers, self._last = [], 1, ids[-1]
        return self._tables[0][self._last].log()

    def read(self, ids: list[int], parents: list[int]) -> Tensor:
        self.parents += parents
        self.layers, self._last = 1, ids[-1]
        return self._tables[0][self._last].log()[None]

    def deeper(self) -> Tensor:
        self.layers += 1
        return self._tables[self.layers - 1][self._last].log()

    def keep(self, path: list[int]) -> int:
        self.parents = []
        return len(path)


def test_output_is_exactly_the_targets_whichever_exit_spoke() -> None:
    """Every chain of two tokens, its chance, and all that verification can make of it."""
    shallow = _table([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.34, 0.33, 0.33]])
    deep = _table([[0.2, 0.2, 0.6], [0.1, 0.7, 0.2], [0.6, 0.3, 0.1]])
    laws = _table([[0.3, 0.5, 0.2], [0.6, 0.1, 0.3], [0.2, 0.2, 0.6]])
    one = S2D(sure=0.5)
    first = [shallow[t] if float(shallow[t].max()) >= 0.5 else deep[t] for t in range(3)]
    seen: dict[tuple[int, ...], TokenTree] = {}
    for seed in range(400):
        reader: Any = NestedTables([shallow, deep])
        random = np.random.default_rng(seed)
        state = DraftState([1, 0], 3, 2, 2, Processors(1.0), random, reader)
        tree = one.propose(state)
        seen[tuple(tree.tokens[1:])] = tree
    for (one_, _), tree in seen.items():
        assert said_by(tree, 1) == 1
        assert said_by(tree, 2) == (1 if one_ == 0 else 2)
    assert away_from_the_target(seen, first, laws) < 1e-12


def away_from_the_target(
    seen: dict[tuple[int, ...], TokenTree], first: Sequence[Tensor], laws: Tensor
) -> float:
    """How far the output of all chains of two tokens is from the target's joint distribution.

    Args:
        seen: every chain that may be drawn after token 0, by its tokens, as it was drafted.
        first: by token, the distribution that what follows it is drawn from.
        laws: by token, the target's.
    """
    rule, found = Rule.registry.find("speculative_sampling")(), torch.zeros(3, 3, 3).double()
    assert len(seen) == 9
    for (one_, two), tree in seen.items():
        for node in (0, 1):
            torch.testing.assert_close(tree.draft_probs[node].double(), first[tree.tokens[node]])
        chance = first[0][one_] * first[one_][two]
        exact = TokenTree.of(0)
        node = 0
        for token in (one_, two):
            exact.draft_probs[node] = first[exact.tokens[node]]
            node = exact.add(node, token)
        found += chance * joint_distribution(
            rule, exact, lambda text: laws[text[-1] if text else 0], 3
        )
    expected = laws[0][:, None, None] * laws[:, :, None] * laws[None]
    return float((found - expected).abs().max())


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_run_is_audited_and_equal_to_plain_decoding(
    target: LoadedModel, tmp_path: Any, temperature: float
) -> None:
    draft = loaded_from(tmp_path / "draft", num_hidden_layers=3)
    request = SpeculateRequest(
        model="target", draft_model="draft", text="THE CAT SAT ON THE CAT SAT", draft_len=3,
        drafter={"slug": "s2d", "parameters": {"shallowest": 0.3, "sure": SURE}},
        rule="speculative_sampling" if temperature else "greedy", temperature=temperature,
        max_new_tokens=24,
    )  # fmt: skip
    result = speculate(request, target, 2048, lambda _: None, CancelToken(), {"draft": draft})
    verdicts = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert verdicts["draft law"] == verdicts["target law"] == "passed"
    assert "failed" not in verdicts.values()
    assert len({source for source in result.sources if source}) > 1
    assert temperature or result.token_ids.tolist() == result.plain_ids.tolist()
