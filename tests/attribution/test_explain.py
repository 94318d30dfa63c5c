"""From a token of a stored run to the question why it came."""

import numpy as np
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import (
    AttributeRequest,
    AttributeResult,
    DecodeRequest,
    DecodeResult,
    TraceRequest,
    UserError,
    explain,
)

MODEL, TEXT = "bundled/target", "Once upon a time there was"


def test_a_token_of_a_trace_or_a_lane_is_the_target_with_its_text() -> None:
    with shipped_lab() as lab:
        trace = lab.run(TraceRequest(model=MODEL, text=TEXT))
        asked = explain(trace, 3)
        assert (asked.text, asked.target, asked.model) == (TEXT, 3, MODEL)
        result = lab.run(asked).result
        assert isinstance(result, AttributeResult)
        np.testing.assert_array_equal(result.token_ids, trace.result.token_ids)

        decoded = lab.run(DecodeRequest(model=MODEL, text=TEXT, max_new_tokens=6))
        assert isinstance(decoded.result, DecodeResult)
        asked = explain(decoded, 4)
        found = lab.run(asked.model_copy(update={"method": "rollout", "parameters": {}})).result
        lane = decoded.result.lanes[0]
        assert isinstance(found, AttributeResult)
        assert found.target_id == lane.token_ids[4]
        ids = [*decoded.result.prompt_ids.tolist(), *lane.token_ids[:5].tolist()]
        assert found.token_ids.tolist() == ids

        for run, place in ((trace, 0), (trace, 99), (decoded, 6)):
            with pytest.raises(UserError, match=f"={place} is not between"):
                explain(run, place)
        with pytest.raises(UserError, match="lane=5"):
            explain(decoded, 0, 5)
        with pytest.raises(UserError, match="is a attribute"):
            explain(lab.run(explain(trace, 3)), 1)


def test_a_command_line_says_null_for_what_comes_next() -> None:
    for said in ("null", "none", "", None):
        assert AttributeRequest(model=MODEL, text=TEXT, target=said).target is None
    assert AttributeRequest(model=MODEL, text=TEXT, target="-2").target == -2
