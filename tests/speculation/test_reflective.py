"""Reflective verification: its fused distribution exactly, its second reading by plain passes."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.speculation.conftest import text_ids
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafters.early_exit import EarlyExit
from tokenarium.backend.speculation.engine import Round, Speculator
from tokenarium.backend.speculation.enumeration import bias, outputs, random_distributions
from tokenarium.backend.speculation.matrix import biases, default_rule, pairs, why_not
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.rules.reflective import Reflective
from tokenarium.backend.speculation.rules.speculative_sampling import SpeculativeSampling
from tokenarium.backend.speculation.run_log import RunLog
from tokenarium.backend.speculation.second_reading import JudgedProbs, SecondReading
from tokenarium.backend.speculation.whatif import verify_stored

PROMPT = text_ids(20)
NEW = 16
Run = tuple[list[int], list[Round], Rule]
Runs = Callable[[Rule], Run]


@pytest.fixture(scope="module")
def run(target: LoadedModel) -> Runs:
    """A function from a rule to the text it lets the target's first layers draft."""

    def decode(rule: Rule) -> Run:
        speculator = Speculator.of_models(
            target, None, EarlyExit(), rule, Processors(0.9), PROMPT,
            draft_len=3, tree_budget=3, max_new_tokens=NEW, seed=5,
        )  # fmt: skip
        speculator.begin()
        rounds: list[Round] = []
        while (left := NEW + len(PROMPT) - len(speculator.state.ids)) > 0:
            rounds.append(speculator.round(left))
        return speculator.state.ids, rounds, speculator.rule

    return decode


@pytest.fixture(scope="module")
def reflective(run: Runs) -> Run:
    return run(Reflective(weight=0.6))


def fused_by_logs(p: Tensor, again: Tensor, rule: Reflective) -> Tensor:
    first, second = p.numpy(), again.numpy()
    if rule.arithmetic:
        mean = (1 - rule.weight) * first + rule.weight * second
    else:
        with np.errstate(divide="ignore"):
            mean = np.exp((1 - rule.weight) * np.log(first) + rule.weight * np.log(second))
    mean = np.where(first > 0, mean, 0)
    return torch.from_numpy(mean / mean.sum(-1, keepdims=True))


@pytest.mark.parametrize("draw", ["iid", "without_replacement"])
@pytest.mark.parametrize("arithmetic", [0, 1])
@pytest.mark.parametrize("weight", [0, 0.3, 0.9])
def test_what_follows_a_node_has_exactly_the_fused_distribution(draw, arithmetic, weight):
    targets, drafts = random_distributions(60, 5, 2)
    again, _ = random_distributions(60, 5, 9)
    targets[:20, 0], drafts[20:40, 1] = 0, 0
    targets, drafts = (each / each.sum(-1, keepdim=True) for each in (targets, drafts))
    rule = Reflective(weight=weight, arithmetic=arithmetic)
    fused = fused_by_logs(targets, again, rule) if weight else targets
    found = outputs(rule, rule.of_readings(targets, again), drafts, draw, 1)
    assert float(found.distance(fused).max()) < 1e-12
    assert not found.probs[targets == 0].any()
    away = float(found.distance(targets).max())
    assert away > 0.1 if weight else away < 1e-12


def test_both_readings_are_fused_as_by_hand():
    p, again = torch.tensor([[0.2, 0.8, 0]]), torch.tensor([[0.8, 0.2, 0]])
    half = Reflective(weight=0.5).of_readings(p, again)
    torch.testing.assert_close(half, torch.tensor([[0.5, 0.5, 0]]))
    third = Reflective(weight=0.25).of_readings(p, again)[0]  # odds (1 / 4)^.75 * 4^.25 = 1 / 2
    torch.testing.assert_close(third, torch.tensor([1 / 3, 2 / 3, 0]))
    added = Reflective(weight=0.25, arithmetic=1).of_readings(p, again)[0]
    torch.testing.assert_close(added, torch.tensor([0.35, 0.65, 0]))
    apart = Reflective().of_readings(p, torch.tensor([[0, 0, 1.0]]))
    torch.testing.assert_close(apart, p, msg="nothing is left of both: the target's")


def test_it_promises_no_lossless_text_and_its_distance_is_enumerated():
    assert Reflective.promise == "relaxed"
    assert {each.promise for each in pairs() if each.rule == "reflective"} == {"relaxed"}
    assert default_rule(EarlyExit, 1.0) is not Reflective
    assert "choose rule sample_and_match" in why_not("deterministic", Reflective, 1.0)
    assert "at most 1 child" in why_not("iid", Reflective, 1.0)
    assert "nothing to draw" in why_not(EarlyExit, Reflective, 0.0)
    shown = next(each for each in biases() if each.rule == "reflective")
    assert (shown.promise, shown.by_draw["iid"].mean) == ("relaxed", bias(Reflective(), "iid").mean)
    distances = [bias(Reflective(weight=w), "iid").mean for w in (0, 0.1, 0.3, 0.9)]
    assert distances[0] < 1e-12
    assert distances == sorted(distances)
    assert distances[2] > 0.1


def test_second_reading_is_that_of_one_plain_text(target: LoadedModel, reflective: Run) -> None:
    """The copy follows the draft and the text between, at the positions after them."""
    ids, rounds, rule = reflective
    between = SecondReading(rule, target).between
    assert len(between) > 5
    length, checked = len(PROMPT), 0
    for each in rounds:
        drafted = each.tree.tokens[1:]
        if drafted:
            text = [*ids[:length], *drafted, *between, *drafted]
            with torch.inference_mode():
                logits = target.model(torch.tensor([text])).logits[0].float()
            expected = (logits / 0.9).softmax(-1)
            copy = length + len(drafted) + len(between)
            assert isinstance(each.judged, JudgedProbs)
            for place in range(len(drafted)):
                again = each.judged.again[place]
                torch.testing.assert_close(again, expected[copy - 1 + place], atol=2e-5, rtol=0)
                first = each.targets[place]
                torch.testing.assert_close(first, expected[length - 1 + place], atol=2e-5, rtol=0)
                fused = rule.of_readings(first[None], again[None])[0]
                torch.testing.assert_close(each.judged[place], fused)
                checked += 1
            last = len(drafted)
            assert each.judged[last] is each.targets[last], "the bonus token is the target's"
        length += len(each.tokens)
    assert checked > 10


def test_weight_zero_is_speculative_sampling_and_more_is_not(run: Runs, reflective: Run) -> None:
    plain, none = run(SpeculativeSampling()), run(Reflective(weight=0))
    assert none[0] == plain[0]
    assert [each.verification.path for each in none[1]] == [
        each.verification.path for each in plain[1]
    ]
    assert reflective[0] != plain[0]


def test_log_holds_both_probabilities_and_verifies_again_as_the_run_did(reflective: Run) -> None:
    _, rounds, rule = reflective
    log = RunLog((rule, SpeculativeSampling()))
    for each in rounds:
        log.add(each, len(each.tokens))
    found = log.arrays()
    nodes, first, differ = found["node_columns"], 0, 0
    for each in rounds:
        count = len(each.tree)
        rows, judged = nodes[first : first + count], found["judged_accept"][first : first + count]
        after = found["judged_next"][first : first + count, 0].tolist()
        for node in range(1, count):
            token = each.tree.tokens[node]
            assert rows["p_raw"][node] == pytest.approx(float(each.targets[node - 1][token]))
            assert rows["p_used"][node] == pytest.approx(float(each.judged[node - 1][token]))
        again = verify_stored(
            rule, each.tree.parents, each.tree.tokens, judged[:, 0].tolist(), after,
            each.accept_uniforms.tolist(), rows["p_raw"].tolist(),
        )  # fmt: skip
        assert again is not None
        assert (again.path, again.token) == (each.verification.path, each.verification.token)
        differ += int((judged[1:, 0] != judged[1:, 1]).sum())
        first += count + 1
    assert differ > 5, "other rules are judged by the first reading"


def test_log_holds_what_the_second_reading_said(target: LoadedModel, reflective: Run) -> None:
    ids, rounds, rule = reflective
    log, between = RunLog((rule,)), SecondReading(rule, target).between
    for each in rounds:
        log.add(each, len(each.tokens))
    found = log.arrays()
    first, length, checked = 0, len(PROMPT), 0
    for each in rounds:
        drafted = each.tree.tokens[1:]
        text = [*ids[:length], *drafted, *between, *drafted]
        with torch.inference_mode():
            probs = (target.model(torch.tensor([text])).logits[0].float() / 0.9).softmax(-1).numpy()
        copy = length + len(drafted) + len(between)
        for place, token in enumerate(drafted):
            one, again = probs[length - 1 + place], probs[copy - 1 + place]
            node = first + place
            assert found["second_prob"][node + 1] == pytest.approx(again[token], abs=2e-5)
            overlap = np.minimum(one, again).sum()
            assert found["second_overlap"][node] == pytest.approx(overlap, abs=2e-4)
            top = found["second_top"][node]
            np.testing.assert_allclose(top, np.sort(again)[::-1][: len(top)], atol=2e-5)
            np.testing.assert_allclose(again[found["second_top_ids"][node]], top, atol=2e-5)
            checked += int(abs(again[token] - one[token]) > 1e-4)
        last = first + len(drafted)
        for name in ("second_overlap", "second_prob"):
            assert np.isnan(found[name][[last, last + 1][name == "second_prob"]])
        assert np.isnan(found["second_prob"][first]), "a root is not tested"
        assert (found["second_top_ids"][last : last + 2] == -1).all()
        first, length = last + 2, length + len(each.tokens)
    assert checked > 5, "both readings differ"
    once = RunLog((SpeculativeSampling(),))
    for each in rounds:
        once.add(replace(each, judged=each.targets), len(each.tokens))
    plain = once.arrays()
    assert all(np.isnan(plain[name]).all() for name in ("second_prob", "second_overlap"))
    assert (plain["second_top_ids"] == -1).all()
    assert len(plain["second_prob"]) == len(found["second_prob"])
