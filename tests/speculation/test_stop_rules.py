"""Stop rules of chains: their scores by hand, and that a text stays the target's under each."""

import re
from collections.abc import Callable, Iterator, Sequence
from math import log, prod, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import tokenarium.backend.speculation.stop_rules
from tests.contracts.test_policies import SENTENCE
from tests.speculation.test_enumeration import conditional
from tests.speculation.test_model_drafters import drafts, table_of
from tokenarium.backend.speculation.chain_drafter import ChainDrafter
from tokenarium.backend.speculation.drafters.draft_chain import DraftChain
from tokenarium.backend.speculation.drafters.llmcad import LLMCad
from tokenarium.backend.speculation.drafters.spec_dec_pp import SpecDecPP
from tokenarium.backend.speculation.enumeration import Conditional, joint_distribution
from tokenarium.backend.speculation.request import DrafterSpec
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.stop_rule import StopRule
from tokenarium.backend.speculation.tree import ROOT, TokenTree

RULES = StopRule.registry.all()
EVERY = pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.slug)
Ends = Callable[[Sequence[float], Tensor], bool]


@EVERY
def test_a_stop_rule_declares_what_the_page_shows(kind: type[StopRule]) -> None:
    folder = Path(tokenarium.backend.speculation.stop_rules.__path__[0])
    assert {each.slug for each in RULES} == {f.stem for f in folder.glob("*.py")} - {"__init__"}
    assert kind.title
    assert SENTENCE.fullmatch(kind.explanation)
    assert re.search(r"\d{4}, arXiv:\d{4}\.\d{5}", kind.paper)
    for probs in torch.rand(50, 6, generator=torch.Generator().manual_seed(0)) ** 8:
        shares = probs / probs.sum()
        assert 0 <= kind().score([0.9, float(shares[0])], shares) <= 1


def test_scores_by_hand() -> None:
    probs = torch.tensor([0.5, 0.25, 0.25, 0.0])
    scores = {kind.slug: kind().score([0.8, 0.25], probs) for kind in RULES}
    assert scores == pytest.approx(
        {
            "confidence": 0.25,
            "cumulative": 0.2,
            "entropy_bound": 1 - sqrt(0.2 * 1.5 * log(2)),
        }
    )
    flat = torch.full((4096,), 1 / 4096)  # 0.2 * 8.3 nats are more than 1
    assert StopRule.registry.find("entropy_bound")().score([0.1], flat) == 0


def test_the_old_setting_means_what_it_did_and_is_stored_as_it_was() -> None:
    assert DrafterSpec("draft_chain").parameters == {"stop_below": 0.0}
    other = DrafterSpec("draft_chain", stop_below=0.4, stop_rule="cumulative")
    assert other.parameters == {"stop_below": 0.4, "stop_rule": "cumulative"}
    with pytest.raises(ValueError, match="stop_rule='oracle' is unknown: choose confidence, cumu"):
        DrafterSpec("draft_chain", stop_rule="oracle")
    enum = ChainDrafter.model_json_schema()["properties"]["stop_rule"]["enum"]
    assert set(enum) == {kind.slug for kind in RULES}
    never = DraftChain(stop_below=0.0, stop_rule="entropy_bound")
    assert len(never.propose(drafts(table_of(6), sizes=(9, 9)))) == 10


def chains(draft: Conditional, ends: Ends, most: int) -> Iterator[tuple[TokenTree, float]]:
    """Every chain that may be drawn, and how likely it is."""

    def more(tokens: tuple[int, ...], chance: float) -> Iterator[tuple[TokenTree, float]]:
        shares = [float(draft(tokens[:at])[token]) for at, token in enumerate(tokens)]
        if len(tokens) == most or (tokens and ends(shares, draft(tokens[:-1]))):
            tree, node = TokenTree.of(0), ROOT
            for at, token in enumerate(tokens):
                tree.draft_probs[node] = draft(tokens[:at])
                node = tree.add(node, token)
            yield tree, chance
            return
        for token, share in enumerate(draft(tokens).tolist()):
            yield from more((*tokens, token), chance * share)

    yield from more((), 1.0)


@EVERY
def test_a_text_whose_chains_stop_early_has_the_targets_distribution(kind: type[StopRule]) -> None:
    target, draft = conditional(2, 3), conditional(8, 3)
    first = [kind().score([float(share)], draft(())) for share in draft(())]
    middle = first[0] if len(set(first)) == 1 else 0.45  # where drawn tokens do not count
    chain = DraftChain(stop_below=middle, stop_rule=kind.slug)
    rule = Rule.registry.find("speculative_sampling")()
    found, honest = torch.zeros(2, 3, 3, 3, dtype=torch.float64)
    lengths, chances = set(), 0.0
    for tree, chance in chains(draft, chain.ends, 3):
        found += chance * joint_distribution(rule, tree, target, 3)
        lengths.add(len(tree))
        chances += chance
    for first, second, third in np.ndindex(3, 3, 3):
        honest[first, second, third] = (
            target(())[first] * target((first,))[second] * target((first, second))[third]
        )
    assert chances == pytest.approx(1, abs=1e-12)
    assert len(lengths) > 1, "no chain was stopped, or each"
    assert float((found - honest).abs().sum() / 2) < 1e-12


def test_leaving_the_unlikely_token_out_would_bias_the_text() -> None:
    target, draft = conditional(2, 3), conditional(3, 3)
    rule = Rule.registry.find("speculative_sampling")()
    found = torch.zeros(3, dtype=torch.float64)
    for tree, chance in chains(draft, DraftChain(stop_below=0.45).ends, 1):
        if float(draft(())[tree.tokens[1]]) < 0.45:
            tree = TokenTree.of(0)
        found += chance * joint_distribution(rule, tree, target, 1)
    assert float((found - target(())).abs().sum() / 2) > 0.02


def test_specdec_goes_on_until_a_rejection_is_likely() -> None:
    state, one = drafts(table_of(6), sizes=(12, 12)), SpecDecPP(reject_above=0.9, shortest=2)
    lengths = set()
    for _ in range(60):
        tree = one.propose(state)
        shares = [
            float(tree.draft_probs[node][tree.tokens[node + 1]]) for node in range(len(tree) - 1)
        ]
        assert all(1 - prod(shares[:at]) <= 0.9 for at in range(2, len(shares)))
        assert 1 - prod(shares) > 0.9 or len(shares) == 12
        lengths.add(len(shares))
        state.ids.append(int(state.random.integers(6)))
    assert min(lengths) == 2
    assert len(lengths) > 2
    never, chain = SpecDecPP(reject_above=1.0), DraftChain()
    fixed = [each.propose(drafts(table_of(6), sizes=(5, 9))) for each in (never, chain)]
    assert fixed[0].tokens == fixed[1].tokens
    assert len(fixed[0]) == 6


def test_llmcad_moves_its_limit_by_what_was_accepted() -> None:
    state, one = drafts(table_of(6), sizes=(8, 8)), LLMCad(limit=0.2, factor=0.5)
    tree = one.propose(state)
    shares = [float(tree.draft_probs[node][tree.tokens[node + 1]]) for node in range(len(tree) - 1)]
    assert prod(shares) < 0.2 <= prod(shares[:-1])
    state.ids += [*tree.tokens[1:], 3]  # all of it, and the bonus token
    drafted = len(one.propose(state)) - 1
    assert state.memory["limit"] == pytest.approx(0.1)
    state.ids.append(3)  # nothing of it
    tree = one.propose(state)
    assert state.memory["limit"] == pytest.approx(0.2)
    state.ids += [tree.tokens[1], 3]  # one of it
    drafted = len(tree) - 1
    one.propose(state)
    limit = 0.2 * 0.5 ** (1 / drafted - 1) if drafted > 1 else 0.1
    assert state.memory["limit"] == pytest.approx(limit)
    state.memory |= {"limit": 0.9, "drafted": (len(state.ids), 4)}
    state.ids.append(3)
    one.propose(state)
    assert state.memory["limit"] == 1
