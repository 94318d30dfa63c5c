"""The test of drawn texts: its error and its power are what it says, by simulation."""

import math

import numpy as np
import pytest
import torch

from tests.text_audit.conftest import PROMPT, Audits, Writes
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.auditing.repeated_runs import Repeater
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.text_audit import sampled
from tokenarium.backend.text_audit.measured import joined, measured
from tokenarium.backend.text_audit.reading import Rows
from tokenarium.backend.text_audit.sampled import (
    FACTORS,
    SampledTest,
    SampledTester,
    kolmogorov_distance,
    rank_shares,
)

V, LENGTH = 6, 60


def chain(sharpness: float) -> torch.Tensor:
    """Return [V, V] logits after each token: what follows depends on what was drawn."""
    draw = torch.Generator().manual_seed(3)
    return sharpness * torch.randn(V, V, generator=draw).double()


def drawn(table: torch.Tensor, length: int, seed: int, temperature: float = 1.0) -> list[int]:
    random, token, found = np.random.default_rng(seed), 0, []
    for _ in range(length):
        probs = (table[token] / temperature).softmax(-1).numpy()
        token = int(random.choice(V, p=probs / probs.sum()))
        found.append(token)
    return found


def outcome_of(table: torch.Tensor, ids: list[int], seed: int) -> SampledTest:
    logits = table[torch.tensor([0, *ids[:-1]])]
    rows = Rows(0, torch.tensor(ids), logits.float(), logits.softmax(-1))
    found, tester = joined([measured(rows)]), SampledTester(seed)
    tester.add(rows, np.ones(len(ids), np.bool_))
    shares = rank_shares(found.likelier, np.exp(found.logprob), seed)
    test = tester.found(found.logprob + found.entropy, shares)
    assert test is not None
    return test


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "DRAWS", 4000)


@pytest.mark.usefixtures("quick")
def test_p_values_of_texts_drawn_rightly_are_no_smaller_than_even() -> None:
    table, count = chain(1.5), 100
    found = np.array(
        [outcome_of(table, drawn(table, LENGTH, at), at).p_value for at in range(count)]
    )
    for level in (0.02, 0.1, 0.3):
        below = int((found < level).sum())
        assert below <= count * level + 3 * math.sqrt(count * level * (1 - level))
    assert (found < 0.5).mean() > 0.2  # it is not blunt either


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("factor", [0.75, 4 / 3])
def test_the_power_that_is_said_is_the_one_there_is(factor: float) -> None:
    table, count, length = chain(1.5), 40, 300
    at = FACTORS.index(factor)
    rejected, said = 0, 0.0
    for seed in range(count):
        test = outcome_of(table, drawn(table, length, seed, factor), seed)
        rejected += test.rejects
        said += test.factor_power[at]
        assert test.power == pytest.approx(min(test.factor_power[[3, 7]]))
    assert rejected / count == pytest.approx(said / count, abs=0.2)
    assert 0.1 < said / count < 0.9999


def test_statistics_by_hand() -> None:
    assert kolmogorov_distance(np.array([0.25, 0.75])) == pytest.approx(0.25)
    assert kolmogorov_distance(np.array([0.1, 0.2, 0.3])) == pytest.approx(0.7)
    shares = rank_shares(np.array([0.0, 0.6]), np.array([0.6, 0.4]), 1)
    assert 0 <= shares[0] < 0.6 <= shares[1] <= 1
    table = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]]).double()
    test = outcome_of(table, [0, 0, 1], 0)
    p, entropy = 0.75, -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    score = 2 * math.log(p) + math.log(0.25) + 3 * entropy
    variance = 3 * (p * math.log(p) ** 2 + 0.25 * math.log(0.25) ** 2 - entropy**2)
    assert test.score == pytest.approx(score / math.sqrt(variance))
    other = 0.75 ** (1 / 0.5) / (0.75**2 + 0.25**2)
    assert test.factor_distance[FACTORS.index(0.5)] == pytest.approx(other - p)


def test_a_text_drawn_as_stated_is_consistent_and_one_that_is_not_is_wrong(
    writes: Writes, audits: Audits
) -> None:
    ids = writes(300, rule="sample_and_match", temperature=1.0, seed=5)
    right = audits(token_ids=ids, sampling={"temperature": 1.0})
    assert (right.verdict, right.exit_status) == ("consistent", 0)
    assert right.power > 0.8
    assert np.isfinite(right.rank_share).all()
    for stated in (0.5, 1.6):
        wrong = audits(token_ids=ids, sampling={"temperature": stated})
        assert (wrong.verdict, wrong.position, wrong.exit_status) == ("wrong", -1, 1)
        assert wrong.p_value < 1e-3
    short = audits(token_ids=ids[:8], sampling={"temperature": 1.0})
    assert (short.verdict, short.exit_status) == ("inconclusive", 3)
    assert short.power < 0.8


def kept_typically(table: torch.Tensor, length: int, seed: int) -> list[int]:
    """Return a text whose guesses, the likeliest each, stay where p > min(.09, .3 exp(-H))."""
    random, token, found = np.random.default_rng(seed), 0, []
    for _ in range(length):
        probs = table[token].softmax(-1).numpy()
        entropy = -float((probs * np.log(probs)).sum())
        guess = int(probs.argmax())
        stays = probs[guess] > min(0.09, 0.3 * math.exp(-entropy)) and random.random() < 0.5
        token = guess if stays else int(random.choice(V, p=probs / probs.sum()))
        found.append(token)
    return found


@pytest.mark.usefixtures("quick")
def test_guesses_that_stay_too_often_are_found() -> None:
    table = chain(1.0)
    biased, right = kept_typically(table, 200, 1), drawn(table, 200, 1)
    assert outcome_of(table, biased, 1).p_value < 1e-3
    assert outcome_of(table, right, 1).p_value > 0.05


@pytest.mark.slow
def test_a_biased_rule_is_found_and_the_right_one_is_not(
    audits: Audits, loaded: LoadedModel
) -> None:
    """Guesses that are the draft's likeliest, kept by typical acceptance: sharper than drawn."""
    drafter = Drafter.registry.find("early_exit")()
    prompt = audits(token_ids=[1]).prompt_ids.tolist()
    verdicts = {}
    for slug in ("typical", "sample_and_match"):
        rule = Rule.registry.find(slug)()
        repeater = Repeater(drafter, rule, Processors(1.0), loaded, None)
        texts = (repeater.sample(prompt, 160, seed) for seed in range(9))
        ids = next(text for text in texts if len(text) >= 160)[:160]
        verdicts[slug] = audits(token_ids=ids, sampling={"temperature": 1.0}).verdict
    assert verdicts == {"typical": "wrong", "sample_and_match": "consistent"}


def test_a_token_that_could_not_be_drawn_is_wrong_where_it_stands(
    writes: Writes, audits: Audits
) -> None:
    ids = writes(60, rule="sample_and_match", temperature=1.0, top_k=5)
    stated = {"temperature": 1.0, "top_k": 5}
    assert audits(token_ids=ids, sampling=stated).verdict in ("consistent", "inconclusive")
    ranks = audits(token_ids=ids).rank
    assert ranks.max() < 5
    ids[30] = int(audits(token_ids=ids).best_ids[30]) + 1
    found = audits(token_ids=ids, sampling=stated)
    assert (found.verdict, found.position) == ("wrong", 30)


def test_a_drawn_text_without_ids_is_ambiguous_where_it_would_be_wrong(audits: Audits) -> None:
    text = " " + PROMPT
    found = audits(continuation=text, sampling={"temperature": 1.0, "top_k": 1})
    assert (found.verdict, found.exit_status) == ("ambiguous", 3)


def test_where_the_model_leaves_no_choice_nothing_can_be_said(
    writes: Writes, audits: Audits
) -> None:
    found = audits(token_ids=writes(20), sampling={"temperature": 1.0, "top_k": 1})
    assert found.verdict == "inconclusive"
    assert np.isnan(found.p_value)
