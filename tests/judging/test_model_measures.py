"""Measures that read the model's states or other texts, on a table and against autograd."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.judging.table_model import Table
from tokenarium.backend.judging import frequencies as frequency
from tokenarium.backend.judging.frequencies import Frequencies
from tokenarium.backend.judging.gradient_products import influence
from tokenarium.backend.judging.measures.answer_choices import AnswerChoices
from tokenarium.backend.judging.measures.dc_pdd import DCPDD
from tokenarium.backend.judging.measures.embers import Embers
from tokenarium.backend.judging.measures.sar import Sar
from tokenarium.backend.judging.measures.steer import Steer
from tokenarium.backend.judging.measures.token_hidden_reward import TokenHiddenReward

RANDOM = np.random.default_rng(11).dirichlet(np.ones(6) * 0.7, 6)
IDS = [0, 3, 1, 5, 2, 2, 4, 1, 3, 0]


def test_the_entropy_change_is_that_of_a_step_on_the_token() -> None:
    found = Steer().judge(Table(RANDOM).passage(Steer(), IDS))
    for number, (before, token) in enumerate(pairwise(IDS)):
        logits = torch.tensor(RANDOM[before]).log().requires_grad_()
        [step] = torch.autograd.grad(torch.log_softmax(logits, -1)[token], logits)
        probs = torch.softmax(logits, -1)
        [slope] = torch.autograd.grad(-(probs * probs.log()).sum(), logits)
        assert found.token_score[number] == pytest.approx(float(slope @ step), abs=1e-5)
    estimate = []
    for before, token in pairwise(IDS):
        law = RANDOM[before]
        above = math.log(law[token]) - float((law * np.log(law)).sum())
        estimate.append(-(1 - law[token]) * law[token] * above)
    assert found.details["estimate"] == pytest.approx(np.mean(estimate), abs=1e-5)
    wanted = np.corrcoef(estimate, found.token_score)[0, 1]
    assert found.details["correlation"] == pytest.approx(wanted, abs=1e-4)
    assert found.marked.tolist() == (np.sign(estimate) != np.sign(found.token_score)).tolist()


def _reward(answer: int) -> tuple[TokenHiddenReward, Table, torch.Tensor, torch.Tensor]:
    """Return a measure, a table with states of its own, these and the unembedding."""
    generator = torch.Generator().manual_seed(2)
    states = torch.randn(len(IDS), 4, generator=generator)
    matrix = torch.randn(6, 4, generator=generator)
    table = Table(RANDOM)
    table.loaded.unembed = lambda given: given @ matrix.T
    table.read = lambda ids: states[: len(ids)]  # type: ignore[method-assign]
    return TokenHiddenReward(answer=answer), table, states, matrix


@pytest.mark.parametrize("answer", [0, 3])
def test_hidden_rewards_are_products_of_gradients_of_the_unembedding(answer: int) -> None:
    measure, table, states, matrix = _reward(answer)
    passage = table.passage(measure, IDS)
    found = measure.judge(passage)
    weights = matrix.double().requires_grad_()
    gradients = []
    for place in range(1, len(IDS)):
        log_prob = torch.log_softmax(states[place - 1].double() @ weights.T, -1)[IDS[place]]
        gradients.append(torch.autograd.grad(log_prob, weights)[0].flatten())
    products = torch.stack(gradients) @ torch.stack(gradients).T
    own = products.diagonal().clone()
    products.fill_diagonal_(0)
    count = answer or len(gradients)
    wanted = products[-count:].sum(0)
    np.testing.assert_allclose(found.token_score, wanted.detach(), rtol=1e-4, atol=1e-5)
    assert found.details["own"] == pytest.approx(float(own[-count:].mean()), rel=1e-4)
    assert found.score == pytest.approx(float(wanted.mean()) / count, rel=1e-4)


def test_drawn_tokens_have_no_hidden_reward_in_the_mean() -> None:
    measure, table, _, _ = _reward(0)
    passage = table.passage(measure, IDS)
    found = influence(passage, 9)
    # Every drawn token in its place gives the product that the text's own gives there.
    own = passage.ids[passage.places][None].astype(np.int32)
    again = influence(replace(passage, drawn_ids=own), 9)
    np.testing.assert_allclose(again.drawn[0], found.others, rtol=1e-4, atol=1e-5)
    spread = found.drawn.std(0) / math.sqrt(len(found.drawn))
    assert (np.abs(found.drawn.mean(0)) < 4.5 * spread + 1e-6).all()


def test_a_text_of_too_many_pairs_is_refused() -> None:
    ids = [0, 1] * 300
    with pytest.raises(ValueError, match="599 are judged, over 512: raise first to 88"):
        TokenHiddenReward().judge(Table(RANDOM).passage(Sar(), ids))


def test_dc_pdd_by_hand_counts_a_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Frequencies({1: 97, 2: 0, 3: 1}, 98, 6)
    monkeypatch.setattr(frequency, "frequencies", lambda _: table)
    law = [0.05, 0.6, 0.1, 0.15, 0.05, 0.05]
    measure = DCPDD(cap=0.5)
    found = measure.judge(Table([law] * 6).passage(measure, [0, 1, 2, 3, 1, 2]))
    rare = {1: math.log(104 / 98), 2: math.log(104), 3: math.log(104 / 2)}
    wanted = [0.6 * rare[1], 0.1 * rare[2], min(0.15 * rare[3], 0.5)]
    assert wanted[2] == 0.5
    assert found.score == pytest.approx(np.mean(wanted), rel=1e-5)
    assert found.token_score[:3] == pytest.approx(wanted, rel=1e-5)
    assert np.isnan(found.token_score[3:]).all()
    assert found.marked.tolist() == [False, False, True, False, False]
    assert found.details["known"] == pytest.approx(2 / 3)


def test_frequencies_are_those_of_the_shipped_texts(twins) -> None:
    loaded, _ = twins("llama")
    found = frequency.frequencies(loaded)
    assert found.total == sum(found.counts.values()) > 10_000
    every = np.exp(-found.log_inverse(np.arange(found.vocabulary)))
    assert every.sum() == pytest.approx(1)


def test_mass_on_answers_is_their_sum_and_all_answers_have_all() -> None:
    table = Table(RANDOM)
    two = AnswerChoices(choices="b, d")
    found = two.judge(table.passage(two, IDS))
    assert found.score == pytest.approx(RANDOM[0][1] + RANDOM[0][3], rel=1e-5)
    before = RANDOM[IDS[:-1]]
    np.testing.assert_allclose(found.token_score, before[:, 1] + before[:, 3], rtol=1e-5)
    every = AnswerChoices(choices="a,b,c,d,e,f")
    found = every.judge(table.passage(every, IDS))
    assert found.score == pytest.approx(1, abs=1e-5)
    assert found.details["best"] == RANDOM[0].argmax()
    assert found.details["decided"] == 1


def test_an_answer_of_several_tokens_counts_by_all_and_within_one_that_it_begins_with() -> None:
    table = Table(RANDOM)
    measure = AnswerChoices(choices="bd, e, ef")
    found = measure.judge(table.passage(measure, IDS))
    wanted = RANDOM[0][1] * RANDOM[1][3] + RANDOM[0][4]
    assert found.score == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match="names 1 answers: give at least 2"):
        AnswerChoices(choices="b, b").judge(table.passage(measure, IDS))


def test_sar_weighs_by_how_the_mean_state_moves() -> None:
    table = Table(RANDOM)
    measure = Sar()
    ids = [0, 1, 1, 1, 1, 2]
    found = measure.judge(table.passage(measure, ids))
    assert found.token_score.sum() == pytest.approx(5)
    assert found.token_score.argmax() == 4  # the only token of its kind
    without = np.array([0, 4.0, 0])
    whole = np.array([0, 4.0, 1])
    moved = 1 - whole @ without / np.linalg.norm(whole) / np.linalg.norm(without)
    other = np.array([0, 3.0, 1])
    less = 1 - whole @ other / np.linalg.norm(whole) / np.linalg.norm(other)
    assert found.token_score[4] == pytest.approx(5 * moved / (moved + 4 * less), rel=1e-3)
    weights = np.array([less] * 4 + [moved])
    surprisal = -np.log([RANDOM[a][b] for a, b in pairwise(ids)])
    assert found.score == pytest.approx((weights * surprisal).sum() / weights.sum(), rel=1e-3)
    assert found.details["mean_surprisal"] == pytest.approx(surprisal.mean(), rel=1e-5)


def test_sar_of_a_text_without_meaning_is_the_mean_surprisal() -> None:
    found = Sar().judge(Table(RANDOM).passage(Sar(), [2] * 6))
    assert found.token_score == pytest.approx(np.ones(5))
    assert found.score == pytest.approx(found.details["mean_surprisal"])


def test_sar_says_what_is_too_long() -> None:
    with pytest.raises(ValueError, match="once for each judged token, and 299 are judged"):
        Sar().judge(Table(RANDOM).passage(Sar(), [0, 1] * 150))


def test_embers_of_a_table_the_input_adds_nothing() -> None:
    table = Table(RANDOM)
    measure = Embers(orders=3)
    found = measure.judge(table.passage(measure, IDS, first=4))
    assert found.score == pytest.approx(0, abs=1e-6)
    assert math.isnan(found.token_score[0])  # without a BOS it has nothing before it
    assert found.token_score[1:] == pytest.approx([0] * 5, abs=1e-6)
    logs = np.log([RANDOM[a][b] for a, b in pairwise(IDS)])
    assert found.details["input_log_prob"] == pytest.approx(logs[:3].mean(), rel=1e-5)
    assert found.details["output_after_input"] == pytest.approx(logs[3:].mean(), rel=1e-5)
    assert found.details["output_log_prob"] == pytest.approx(logs[4:].mean(), rel=1e-5)
    assert table.reads[-1][4:] == IDS[4:]
    assert sorted(table.reads[-1][:4]) == sorted(IDS[:4])


def test_embers_takes_the_second_half_where_nothing_stands_before() -> None:
    measure = Embers(orders=1)
    found = measure.judge(Table(RANDOM).passage(measure, IDS))
    assert np.isnan(found.token_score[:4]).all()
    assert "tokens 5 to 9" in found.notes[0]


class _Remembers(Table):
    """After any text that has token 5 in it, token 0 is sure; else all are alike."""

    def read(self, ids):
        seen, rows = False, []
        for key in ids:
            seen = seen or key == 5
            rows.append([1.0, 0.0] if seen else [0.0, 1.0])
        self.reads.append(list(ids))
        return torch.tensor(rows)


def test_embers_finds_what_the_input_adds() -> None:
    table = _Remembers(RANDOM)
    sure = torch.tensor([[0.0] + [-9.0] * 5, [0.0] * 6])
    table.loaded.unembed = lambda states: states @ sure
    measure = Embers(orders=2)
    found = measure.judge(table.passage(measure, [1, 5, 2, 0, 0, 0, 0], first=3))
    each = float(torch.log_softmax(sure[0], -1)[0]) + math.log(6)
    assert found.score == pytest.approx(each, rel=1e-5)
    assert found.null.mean == pytest.approx(each, rel=1e-5)  # in any order it has token 5
