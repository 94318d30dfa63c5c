"""A text may begin with tokens that nobody chose; the rest is what follows them."""

import pytest

from tests.decoding.table import TableReader, lane_of, random_table
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.strategies.greedy import Greedy


def test_given_tokens_are_read_in_one_pass_and_the_rest_follows_them() -> None:
    table = random_table(6, 2)
    lane = lane_of(Greedy(), TableReader(table), most=5)
    lane.give([3, 4, 2])
    assert lane.spent_in_all == (1, 3)
    Greedy().decode(lane)
    path = [0, 1, *lane.new]
    assert lane.new[:3] == [3, 4, 2]
    for at, token in enumerate(lane.new):
        row = table[path[at], path[at + 1]].softmax(-1)
        assert lane.records[at].probability == pytest.approx(float(row[token]))
        if at >= 3:
            assert token == int(row.argmax())


def test_logits_are_computed_once_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = lane_of(Greedy(), TableReader(random_table(6, 2)), most=9)
    unembed, calls = lane.stepper._unembed, []
    monkeypatch.setattr(
        lane.stepper, "_unembed", lambda states: calls.append(states.shape) or unembed(states)
    )
    Greedy().decode(lane)
    assert len(calls) == len(lane.new)


def test_more_given_tokens_than_there_is_room_for_are_left() -> None:
    lane = lane_of(Greedy(), TableReader(random_table(6, 2)), most=2)
    lane.give([3, 4, 2])
    assert (lane.new, lane.ended) == ([3, 4], "length")


def test_a_negative_id_is_refused() -> None:
    with pytest.raises(ValueError, match="begin has a negative id"):
        DecodeRequest(model="m", text="a", begin=(-1,))
