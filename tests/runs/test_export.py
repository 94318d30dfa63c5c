import json

import numpy as np

from tests.runs.test_hit import QUESTION, big_result
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.serialization import new_id, new_run
from tokenarium.backend.trace.result import TraceResult


def test_export_holds_every_number_with_its_definition(lab: Lab) -> None:
    result = big_result()
    result.surprisal_nats[0] = np.nan
    run = new_run(new_id(), QUESTION, result, 1.0, {"fingerprint": "f", "commit": "c"}, "")
    lab._repository.save(run)
    told = json.loads(lab.export(run.id, everything=True))
    assert told["request"]["text"] == QUESTION.text
    assert told["environment"]["commit"] == "c"
    assert set(told["values"]) == set(told["definitions"]) == set(TraceResult.quantities())
    assert told["definitions"]["surprisal_nats"]["unit"] == "nats"
    assert told["values"]["surprisal_nats"][0] is None
    for name, array in result.arrays().items():
        back = np.array(told["values"][name], array.dtype)
        np.testing.assert_array_equal(back, array)
    assert told["values"]["top_text"][3][2] == result.top_text[3][2]
