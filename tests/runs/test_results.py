import json

import numpy as np

from tests.runs.stand_in import CountResult


def test_result_comes_back_from_json_and_arrays_with_nested_tuples() -> None:
    counted = CountResult(np.arange(3, dtype=np.float32), (("a", "b"), ("c",)), 3, 7)
    again = CountResult.from_stored(json.loads(json.dumps(counted.facts())), counted.arrays())
    assert again.pairs == (("a", "b"), ("c",))
    assert (again.layers_done, again.limit) == (3, 7)
    np.testing.assert_array_equal(again.counts, counted.counts)


def test_result_splits_into_arrays_and_facts() -> None:
    counted = CountResult(np.arange(3, dtype=np.float32), (), 3, 7)
    assert list(counted.arrays()) == ["counts"]
    assert sorted(counted.facts()) == ["layers_done", "limit", "pairs"]
    assert counted.quantities()["limit"].unit == "tokens"
