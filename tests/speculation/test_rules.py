"""Every rule by hand-computed values, and by what must hold for any distributions and children."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import tokenarium.backend.speculation.rules  # noqa: F401
from tests.speculation.strategies import distributions
from tokenarium.backend.speculation.distribution import residual
from tokenarium.backend.speculation.rule import Residual, Rule
from tokenarium.backend.speculation.rules.k_seq import least_rho
from tokenarium.backend.speculation.verify import compute_tests

RULES = [kind for kind in Rule.registry.all() if kind.__module__.startswith("tokenarium.backend.")]
EVERY = pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.slug)


def probs(*masses: float) -> torch.Tensor:
    return torch.tensor(masses, dtype=torch.float64)


def judged(rule: Rule, target: torch.Tensor, draft: torch.Tensor | None, children: list[int]):
    """The tests, and the distribution that is left."""
    *tests, rest = compute_tests(rule, target, draft, children)
    assert isinstance(rest, Residual)
    return tests, rest.probs[0]


@EVERY
@settings(max_examples=40, deadline=None)
@given(distributions(5), distributions(5), st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_rule_gives_probabilities_and_never_what_the_target_rules_out(
    kind, target, draft, children
):
    for dtype in (torch.float64, torch.float32):
        tests, rest = judged(kind(), target.to(dtype), draft.to(dtype), children)
        assert len(tests) == len(children)
        for test, token in zip(tests, children, strict=True):
            assert 0 <= test.accept_prob <= 1
            assert target[token] > 0 or test.accept_prob == 0
            assert 0 <= test.target_prob <= 1 + 1e-6
            assert math.isnan(test.draft_prob) == (not kind.needs_draft_probs)
        assert float(rest.sum()) == pytest.approx(1, abs=1e-5)
        assert (rest >= 0).all()
        assert not rest[target == 0].any()


@pytest.mark.parametrize("kind", [kind for kind in RULES if kind.needs_draft_probs])
def test_rule_accepts_everything_where_draft_is_target(kind):
    target = probs(0.5, 0.3, 0.2, 0)
    tests, rest = judged(kind(), target, target, [1])
    assert tests[0].accept_prob == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(rest, target)


@EVERY
def test_rule_judges_rows_as_if_each_were_alone(kind):
    generator = torch.Generator().manual_seed(0)
    target, draft = torch.rand(2, 7, 6, generator=generator, dtype=torch.float64).softmax(-1)
    children = torch.rand(7, 6, generator=generator).argsort(-1)[:, :3]
    *batch, rest = kind().acceptance_tests(target, draft, children)
    for row in range(7):
        tests, left = judged(kind(), target[row], draft[row], children[row].tolist())
        assert [test.accept_prob for test in tests] == [
            float(test.accept_prob[row]) for test in batch
        ]
        assert torch.equal(left, rest.probs[row])


def test_speculative_sampling_by_hand():
    target, draft = probs(0.2, 0.5, 0.3), probs(0.6, 0.1, 0.3)
    tests, rest = judged(Rule.registry.find("speculative_sampling")(), target, draft, [0, 1])
    assert [test.accept_prob for test in tests] == pytest.approx([1 / 3, 0])  # the first alone
    torch.testing.assert_close(rest, probs(0, 1, 0))


def test_ensemble_and_grouped_by_hand():
    target, draft = probs(0.4, 0.35, 0.15, 0.1), probs(0.1, 0.6, 0.2, 0.1)
    tests, rest = judged(Rule.registry.find("ensemble")(weight=0.5), target, draft, [1, 0])
    assert [test.accept_prob for test in tests] == pytest.approx([0.475 / 0.6, 0])
    torch.testing.assert_close(rest, probs(1, 0, 0, 0))
    tests, rest = judged(
        Rule.registry.find("grouped")(neighbours=1, spread=0.1), target, draft, [1, 2]
    )
    # Around token 1 stand 0, which is 0.05 away, and 2, which is 0.2 away.
    assert [test.accept_prob for test in tests] == pytest.approx([1, 0])
    tests, _ = judged(Rule.registry.find("grouped")(neighbours=1, spread=0.1), target, draft, [2])
    assert tests[0].accept_prob == pytest.approx(0.25 / 0.3)  # with token 3


def test_groups_are_those_of_a_stable_sort_where_probabilities_are_equal():
    draw = torch.Generator().manual_seed(0)
    target = torch.rand(40, 30, generator=draw).mul(4).round() * (torch.arange(30) % 3 > 0)
    tokens = target.add(0.1).multinomial(1, generator=draw)[:, 0]
    for neighbours in (0, 1, 7, 29, 64):
        rule = Rule.registry.find("grouped")(neighbours=neighbours)
        (fast, there), (slow, same) = (
            rule.group(each, tokens) for each in (target, target.double())
        )
        for row in range(40):
            found = fast[row][there[row]].tolist()
            assert found == slow[row][same[row]].tolist()
            order = sorted(range(30), key=lambda token: (-float(target[row, token]), token))
            at = order.index(int(tokens[row]))
            assert found == order[max(0, at - neighbours) : at + neighbours + 1]


def test_the_targets_share_of_an_ensemble_is_its_weight():
    target, draft = probs(0.5, 0.5, 0), probs(0.2, 0.3, 0.5)
    mixed = Rule.registry.find("ensemble")(weight=0.8).mixture(target[None], draft[None])[0]
    torch.testing.assert_close(mixed, probs(0.44, 0.46, 0) / 0.9)


def test_lantern_by_hand():
    target, draft = probs(0.4, 0.25, 0.15, 0.2), probs(0.1, 0.5, 0.3, 0.1)
    tests, rest = judged(
        Rule.registry.find("lantern")(neighbours=2, mass=0.2), target, draft, [2, 1]
    )
    # Around 2 the nearest is 1, whose .25 is above .2, so that 3 does not come to count.
    assert [test.accept_prob for test in tests] == pytest.approx([0.5, 0])
    torch.testing.assert_close(rest, probs(0.3, 0.25, 0, 0.1 + 0.1) / 0.75)
    tests, _ = judged(Rule.registry.find("lantern")(neighbours=2, mass=0.45), target, draft, [2])
    assert tests[0].accept_prob == pytest.approx(1)  # 0.15 + 0.25 + 0.2 is above 0.45, 0.4 not


def test_multi_round_by_hand():
    target, draft = probs(0.2, 0.5, 0.3), probs(0.6, 0.4, 0)
    tests, rest = judged(Rule.registry.find("multi_round")(), target, draft, [0, 1, 1])
    # Left after one failure: (0, 0.1, 0.3) / 0.4; after another: token 2 alone.
    assert [test.accept_prob for test in tests] == pytest.approx([1 / 3, 0.25 / 0.4, 0])
    assert [test.target_prob for test in tests] == pytest.approx([0.2, 0.25, 0])
    assert [test.draft_prob for test in tests] == pytest.approx([0.6, 0.4, 0.4])
    torch.testing.assert_close(rest, probs(0, 0, 1))


def test_recursive_by_hand_renormalises_the_draft():
    target, draft = probs(0.2, 0.5, 0.3), probs(0.6, 0.3, 0.1)
    tests, rest = judged(Rule.registry.find("recursive")(), target, draft, [0, 1])
    # Left of the target (0, 0.2, 0.2) / 0.4, of the draft (0, 0.3, 0.1) / 0.4.
    assert [test.accept_prob for test in tests] == pytest.approx([1 / 3, 0.5 / 0.75])
    assert [test.draft_prob for test in tests] == pytest.approx([0.6, 0.75])
    torch.testing.assert_close(rest, probs(0, 0, 1))


def test_k_seq_tests_every_child_alike_by_the_least_rho():
    target, draft = probs(0.2, 0.5, 0.3), probs(0.6, 0.3, 0.1)
    rho = float(least_rho(target[None], draft[None], 2))
    passed = sum(min(q, p / rho) for p, q in zip(target.tolist(), draft.tolist(), strict=True))
    assert 1 - (1 - passed) ** 2 == pytest.approx(rho * passed, abs=1e-4)
    assert 1 < rho < 2
    tests, rest = judged(Rule.registry.find("k_seq")(), target, draft, [0, 1])
    expected = [0.2 / (rho * 0.6), min(1, 0.5 / (rho * 0.3))]
    assert [test.accept_prob for test in tests] == pytest.approx(expected)
    torch.testing.assert_close(
        rest, residual(target[None], rho * draft[None])[0], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("slug", ["top_k_set", "sample_and_match"])
def test_set_rules_by_hand(slug):
    tests, rest = judged(Rule.registry.find(slug)(), probs(0.2, 0.5, 0.3), None, [0, 2, 0])
    assert [test.accept_prob for test in tests] == pytest.approx([0.2, 0.3 / 0.8, 0])
    torch.testing.assert_close(rest, probs(0, 1, 0))


def test_greedy_takes_the_lower_id_of_equals_and_a_token_once():
    target = probs(0.1, 0.45, 0.45)
    tests, rest = judged(Rule.registry.find("greedy")(), target, None, [2, 1, 1])
    assert [test.accept_prob for test in tests] == [0, 1, 0]
    torch.testing.assert_close(rest, probs(0, 1, 0))
    assert Rule.registry.find("greedy")().bonus(target[None], probs(0.99)).tolist() == [1]


def test_typical_is_stricter_where_the_target_is_sure():
    typical = Rule.registry.find("typical")()
    sure, unsure = probs(0.94, 0.06, 0, 0), probs(0.85, 0.05, 0.05, 0.05)
    entropy = -sum(p * math.log(p) for p in (0.94, 0.06))
    assert typical.entropy_factor * math.exp(-entropy) > typical.threshold  # the threshold decides
    assert [t.accept_prob for t in judged(typical, sure, None, [0, 1])[0]] == [1, 0]
    flat = torch.full((20,), 0.05, dtype=torch.float64)  # 0.3 * exp(-ln 20) = 0.015
    assert [t.accept_prob for t in judged(typical, flat, None, [3])[0]] == [1]
    strict = Rule.registry.find("typical")(threshold=0.04, entropy_factor=1.0)
    assert [t.accept_prob for t in judged(strict, unsure, None, [1])[0]] == [1]
