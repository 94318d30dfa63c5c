"""Kangaroo: its guesses, a verifying pass from stored states, its exact output, whole runs."""

import numpy as np
import pytest
import torch

from tests.speculation.conftest import text_ids
from tests.speculation.heads import matching_folder
from tests.speculation.test_model_drafters import drafts, table_of
from tests.speculation.test_s2d import away_from_the_target
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.jobs import CancelToken
from tokenarium.backend.speculation import draft_heads
from tokenarium.backend.speculation.auditing.draft_checks import DraftedChildren
from tokenarium.backend.speculation.auditing.plain_head import PlainAdapter
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftState
from tokenarium.backend.speculation.drafters.kangaroo import Kangaroo
from tokenarium.backend.speculation.engine import Speculator
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.runner import speculate
from tokenarium.backend.speculation.state_heads.adapter import AdapterHead
from tokenarium.backend.speculation.tree import TokenTree

SAMPLING = Rule.registry.find("speculative_sampling")


@pytest.mark.parametrize("beside", [False, True])
@torch.inference_mode()
def test_every_guess_is_the_adapters_over_plain_states(target: LoadedModel, beside: bool) -> None:
    """With the target's cache and with one of its own, whatever was accepted."""
    head, model, ids = AdapterHead(target), TreeReader(target, 8, keep_states=(1,)), text_ids(9)
    reader = head.reader(model.states, 8) if beside else head.reader_beside(model, 8)
    random = np.random.default_rng(3)
    state = DraftState(list(ids), 272, 4, 8, Processors(1.0), random, reader)
    one, seen = Kangaroo(stop_below=0.0), 0
    model.extend(ids[:-1])
    for accepted in (2, 0, 4, 3, 1):
        before, tree = list(state.ids), one.propose(state)
        plain = PlainAdapter(head, PlainReader(target), ())
        for node, probs in tree.draft_probs.items():
            path = [tree.tokens[above] for above in tree.path(node)[1:]]
            logits = plain(DraftedChildren((*before, *path), (), (), depth=len(path)))
            own = logits.softmax(-1)
            torch.testing.assert_close(probs, own, rtol=1e-4, atol=1e-6)
            seen += 1
        kept = list(range(accepted + 1))
        model.forget_after(0)
        model.read(tree.tokens, range(-1, len(tree) - 1))
        model.keep(kept)
        state.keep(kept)
        state.ids += [*tree.tokens[1 : accepted + 1], 61]
    assert seen == 20


def test_verifying_goes_on_from_the_states_that_drafting_left(target: LoadedModel) -> None:
    """Each round the same logits as a full pass, and no first layer reads a token twice."""
    reads: list[int] = []
    speculator = Speculator.of_models(
        target, None, Kangaroo(stop_below=0.0), SAMPLING(), Processors(8.0), text_ids(12),
        draft_len=3, tree_budget=3, max_new_tokens=24, seed=1, check=lambda: reads.append(1),
    )  # fmt: skip
    speculator.begin()
    state, lengths = speculator.state, set()
    for _ in range(6):
        before = list(state.ids)
        reads.clear()
        round_ = speculator.round(8)
        # Root and two guesses by the first of three layers, then the last guess, then all by two.
        assert len(reads) == 3 + 1 + 2
        with torch.inference_mode():
            text = torch.tensor([[*before, *round_.tree.tokens[1:]]])
            expected = target.model(text).logits[0, len(before) - 1 :]
        assert float((round_.logits - expected).abs().max() / expected.abs().max()) < 1e-5
        lengths.add(len(round_.verification.path))
    assert len(lengths) > 1
    reads.clear()
    round_ = speculator.round(1)
    assert len(reads) == 3, "nothing was drafted: one pass of all layers, in two parts"


def test_output_is_exactly_the_targets() -> None:
    table = table_of(3) / 3
    laws = table_of(3, 5).double().softmax(-1)
    seen: dict[tuple[int, ...], TokenTree] = {}
    for seed in range(400):
        state = drafts(table, seed, (2, 2))
        state.ids[-1] = 0
        tree = Kangaroo(stop_below=0.0).propose(state)
        seen[tuple(tree.tokens[1:])] = tree
    first = [*table.double().softmax(-1)]
    assert away_from_the_target(seen, first, laws) < 1e-12


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_run_with_an_untrained_adapter_is_audited_and_lossless(
    target: LoadedModel, temperature: float
) -> None:
    request = SpeculateRequest(
        model="target", text="THE CAT SAT ON THE CAT SAT", draft_len=3, max_new_tokens=24,
        drafter={"slug": "kangaroo", "parameters": {"stop_below": 0.0}},
        rule="speculative_sampling" if temperature else "greedy", temperature=temperature,
    )  # fmt: skip
    result = speculate(request, target, 2048, lambda _: None, CancelToken(), {})
    verdicts = {check["name"]: check["verdict"] for check in result.audit["checks"]}
    assert verdicts["draft law"] == verdicts["target law"] == "passed"
    assert "failed" not in verdicts.values()
    assert temperature or result.token_ids.tolist() == result.plain_ids.tolist()


def test_a_model_without_an_adapter_is_refused_with_what_to_do(
    target: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert matching_folder(target) is None
    monkeypatch.setattr(draft_heads, "adapter_folder", lambda _: None)
    request = SpeculateRequest(model="target", text="A", drafter="kangaroo", rule="greedy")
    with pytest.raises(ValueError, match=r"no adapter is at hand.*choose bundled/target.*train"):
        speculate(request, target, 2048, lambda _: None, CancelToken(), {})


def test_one_token_alone_can_be_gone_on_from(target: LoadedModel) -> None:
    speculator = Speculator.of_models(
        target, None, Kangaroo(stop_below=0.0), SAMPLING(), Processors(1.0), [61],
        draft_len=3, tree_budget=3, max_new_tokens=8, seed=0,
    )  # fmt: skip
    speculator.begin()
    while len(speculator.state.ids) < 9:
        round_ = speculator.round(9 - len(speculator.state.ids))
    with torch.inference_mode():
        expected = target.model(torch.tensor([speculator.state.ids])).logits[0]
    ended = len(speculator.state.ids) - len(round_.tokens) - 1
    torch.testing.assert_close(round_.logits[0], expected[ended], rtol=1e-4, atol=1e-4)
