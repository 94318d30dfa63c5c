"""Every rule by hand-computed values, and by what must hold for any laws and children."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

import tokenarium.backend.speculation.rules  # noqa: F401
from tests.speculation.strategies import laws
from tokenarium.backend.speculation.distribution import leftover
from tokenarium.backend.speculation.rule import Rest, Rule, find, registered
from tokenarium.backend.speculation.rules.k_seq import least_rho
from tokenarium.backend.speculation.verify import trials_of

RULES = [kind for kind in registered() if kind.__module__.startswith("tokenarium.backend.")]
EVERY = pytest.mark.parametrize("kind", RULES, ids=lambda kind: kind.slug)


def law(*masses: float) -> torch.Tensor:
    return torch.tensor(masses, dtype=torch.float64)


def judged(rule: Rule, target: torch.Tensor, draft: torch.Tensor | None, children: list[int]):
    """The trials, and the law that is left."""
    *trials, rest = trials_of(rule, target, draft, children)
    assert isinstance(rest, Rest)
    return trials, rest.law[0]


@EVERY
@settings(max_examples=40, deadline=None)
@given(laws(5), laws(5), st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_rule_gives_probabilities_and_never_what_the_target_rules_out(
    kind, target, draft, children
):
    for dtype in (torch.float64, torch.float32):
        trials, rest = judged(kind(), target.to(dtype), draft.to(dtype), children)
        assert len(trials) == len(children)
        for trial, token in zip(trials, children, strict=True):
            assert 0 <= trial.accept <= 1
            assert target[token] > 0 or trial.accept == 0
            assert 0 <= trial.target <= 1 + 1e-6
            assert math.isnan(trial.draft) == (not kind.reads_draft)
        assert float(rest.sum()) == pytest.approx(1, abs=1e-5)
        assert (rest >= 0).all()
        assert not rest[target == 0].any()


@pytest.mark.parametrize("kind", [kind for kind in RULES if kind.reads_draft])
def test_rule_accepts_everything_where_draft_is_target(kind):
    target = law(0.5, 0.3, 0.2, 0)
    trials, rest = judged(kind(), target, target, [1])
    assert trials[0].accept == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(rest, target)


@EVERY
def test_rule_judges_rows_as_if_each_were_alone(kind):
    generator = torch.Generator().manual_seed(0)
    target, draft = torch.rand(2, 7, 6, generator=generator, dtype=torch.float64).softmax(-1)
    children = torch.rand(7, 6, generator=generator).argsort(-1)[:, :3]
    *batch, rest = kind().trials(target, draft, children)
    for row in range(7):
        trials, left = judged(kind(), target[row], draft[row], children[row].tolist())
        assert [test.accept for test in trials] == [float(test.accept[row]) for test in batch]
        assert torch.equal(left, rest.law[row])


def test_speculative_sampling_by_hand():
    target, draft = law(0.2, 0.5, 0.3), law(0.6, 0.1, 0.3)
    trials, rest = judged(find("speculative_sampling")(), target, draft, [0, 1])
    assert [trial.accept for trial in trials] == pytest.approx([1 / 3, 0])  # the first alone
    torch.testing.assert_close(rest, law(0, 1, 0))


def test_multi_round_by_hand():
    target, draft = law(0.2, 0.5, 0.3), law(0.6, 0.4, 0)
    trials, rest = judged(find("multi_round")(), target, draft, [0, 1, 1])
    # Left after one failure: (0, 0.1, 0.3) / 0.4; after another: token 2 alone.
    assert [trial.accept for trial in trials] == pytest.approx([1 / 3, 0.25 / 0.4, 0])
    assert [trial.target for trial in trials] == pytest.approx([0.2, 0.25, 0])
    assert [trial.draft for trial in trials] == pytest.approx([0.6, 0.4, 0.4])
    torch.testing.assert_close(rest, law(0, 0, 1))


def test_recursive_by_hand_renormalises_the_draft():
    target, draft = law(0.2, 0.5, 0.3), law(0.6, 0.3, 0.1)
    trials, rest = judged(find("recursive")(), target, draft, [0, 1])
    # Left of the target (0, 0.2, 0.2) / 0.4, of the draft (0, 0.3, 0.1) / 0.4.
    assert [trial.accept for trial in trials] == pytest.approx([1 / 3, 0.5 / 0.75])
    assert [trial.draft for trial in trials] == pytest.approx([0.6, 0.75])
    torch.testing.assert_close(rest, law(0, 0, 1))


def test_k_seq_tests_every_child_alike_by_the_least_rho():
    target, draft = law(0.2, 0.5, 0.3), law(0.6, 0.3, 0.1)
    rho = float(least_rho(target[None], draft[None], 2))
    passed = sum(min(q, p / rho) for p, q in zip(target.tolist(), draft.tolist(), strict=True))
    assert 1 - (1 - passed) ** 2 == pytest.approx(rho * passed, abs=1e-4)
    assert 1 < rho < 2
    trials, rest = judged(find("k_seq")(), target, draft, [0, 1])
    expected = [0.2 / (rho * 0.6), min(1, 0.5 / (rho * 0.3))]
    assert [trial.accept for trial in trials] == pytest.approx(expected)
    torch.testing.assert_close(
        rest, leftover(target[None], rho * draft[None])[0], atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("slug", ["top_k_set", "sample_and_match"])
def test_set_rules_by_hand(slug):
    trials, rest = judged(find(slug)(), law(0.2, 0.5, 0.3), None, [0, 2, 0])
    assert [trial.accept for trial in trials] == pytest.approx([0.2, 0.3 / 0.8, 0])
    torch.testing.assert_close(rest, law(0, 1, 0))


def test_greedy_takes_the_lower_id_of_equals_and_a_token_once():
    target = law(0.1, 0.45, 0.45)
    trials, rest = judged(find("greedy")(), target, None, [2, 1, 1])
    assert [trial.accept for trial in trials] == [0, 1, 0]
    torch.testing.assert_close(rest, law(0, 1, 0))
    assert find("greedy")().bonus(target[None], law(0.99)).tolist() == [1]


def test_typical_is_stricter_where_the_target_is_sure():
    typical = find("typical")()
    sure, unsure = law(0.94, 0.06, 0, 0), law(0.85, 0.05, 0.05, 0.05)
    entropy = -sum(p * math.log(p) for p in (0.94, 0.06))
    assert typical.entropy_factor * math.exp(-entropy) > typical.threshold  # the threshold decides
    assert [t.accept for t in judged(typical, sure, None, [0, 1])[0]] == [1, 0]
    flat = torch.full((20,), 0.05, dtype=torch.float64)  # 0.3 * exp(-ln 20) = 0.015
    assert [t.accept for t in judged(typical, flat, None, [3])[0]] == [1]
    strict = find("typical")(threshold=0.04, entropy_factor=1.0)
    assert [t.accept for t in judged(strict, unsure, None, [1])[0]] == [1]
