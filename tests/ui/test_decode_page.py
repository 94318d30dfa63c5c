"""A step's card is what the run knows, as JSON can hold it; a click names a road."""

import orjson
import pytest

from tokenarium.backend import DecodeRequest, Lab, Settings, StrategySpec
from tokenarium.ui.components.decoding import MOST, RANKS, road_of
from tokenarium.ui.components.decoding_step import step_value
from tokenarium.ui.pages.decode import Decode


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab(Settings(database="duckdb:///:memory:", device="cpu", hosted=False))


def test_a_step_says_what_was_taken_and_a_click_goes_on_from_another_token(lab: Lab) -> None:
    spec = StrategySpec("contrastive", candidates=3)
    asked = DecodeRequest(model="bundled/draft", text="Once upon a time", strategies=[spec],
                          max_new_tokens=5)  # fmt: skip
    run = lab.run(asked)
    lane = run.result.lanes[1]  # type: ignore[attr-defined]
    found = orjson.loads(orjson.dumps(step_value(run.result, 1, 2)))  # type: ignore[arg-type]
    assert [one["rank"] for one in found["alternatives"] if one["taken"]] == [
        lane.tokens[2]["rank"]
    ]
    assert len(found["tried"]) == 3
    assert sum(one["kept"] for one in found["tried"]) == 1
    rank = 4
    number = (1 * MOST + 2) * RANKS + rank
    assert road_of(number) == (1, 2, rank)
    again = Decode(lab).point(run, number)
    assert isinstance(again, DecodeRequest)
    assert again.begin == (*lane.token_ids[:2].tolist(), int(lane.top_ids[2, rank]))
    road = lab.run(again).result
    assert road.lanes[1].token_ids[:3].tolist() == list(again.begin)  # type: ignore[attr-defined]
