"""GUARD never writes a phrase, by whatever tokens, and penalises what is near to one."""

import pytest
import torch

from tests.decoding.table import TableReader, lane_of, random_table, written
from tokenarium.backend.decoding.strategies.beam import Beam
from tokenarium.backend.decoding.strategies.guard import Guard

V = 6


@pytest.mark.parametrize("beams", [1, 3])
def test_no_phrase_is_ever_written_and_without_phrases_it_is_beam_search(beams: int) -> None:
    changed = 0
    for seed in range(12):
        table = random_table(V, seed, 1.0)
        strategy = Guard(phrases="AB, cc,d", beams=beams, strength=0)
        lane = written(strategy, table, most=8)
        text = lane.spell(lane.new)
        assert not any(phrase in text for phrase in ("ab", "cc", "d"))
        plain = written(Beam(beams=beams), table, most=8).new
        assert written(Guard(phrases=" ,", beams=beams), table, most=8).new == plain
        changed += lane.new != plain
    assert changed > 6


def test_what_is_near_to_a_phrase_loses_by_its_cosine() -> None:
    table = torch.zeros(V, V, V)
    strategy = Guard(phrases="bc", strength=4, least=0.5, window=1)
    lane = lane_of(strategy, TableReader(table), most=4)
    found = strategy.log_probs(lane, None)
    plain = torch.log_softmax(torch.zeros(V), -1)
    lost = (plain - found).tolist()  # the mean of b and c has cosine .707 with each
    assert lost == pytest.approx([0, 4 * (0.5**0.5 - 0.5), 4 * (0.5**0.5 - 0.5), 0, 0, 0])


def test_where_nothing_may_follow_it_stops() -> None:
    lane = written(Guard(phrases="a,b,c,d,e,f", strength=0), random_table(V, 1), most=4)
    assert lane.ended == "stop"
    assert lane.new == []
