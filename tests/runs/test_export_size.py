"""JSON is small unless everything is asked for."""

import json

from tests.runs.test_hit import QUESTION, big_result
from tokenarium.backend.runs.export import MOST_NUMBERS
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.serialization import new_id, new_run


def test_json_names_what_is_large_and_holds_it_by_choice(lab: Lab) -> None:
    result = big_result()
    run = new_run(new_id(), QUESTION, result, 1.0, {"fingerprint": "f"}, "")
    lab._repository.save(run)
    large = {n: list(a.shape) for n, a in result.arrays().items() if a.size > MOST_NUMBERS}
    assert "attention_tiles_mean" in large
    told = json.loads(lab.export(run.id))
    assert told["left_out"] == large
    assert set(told["values"]) == set(told["definitions"]) - set(large)
    whole = json.loads(lab.export(run.id, everything=True))
    assert whole["left_out"] == {}
    assert set(whole["values"]) == set(whole["definitions"])
