"""The strip's numbers are the result's, bit for bit; its scale says where colours begin and end."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from backend import TraceResult
from tests.ui.hand_made import trace, unfinished
from ui.components.strip import Metric, metrics, strip_patch, strip_value

DEFINITION = TraceResult.quantities()["surprisal_nats"]


def numbers(payload: dict[str, object]) -> np.ndarray:
    """Return what the browser makes of the text."""
    return np.frombuffer(base64.b64decode(str(payload["values"])), "<f4")


@pytest.mark.parametrize(
    ("metric", "field", "index"),
    [
        ("surprisal", "surprisal_nats", ...),
        ("entropy", "entropy_nats", ...),
        ("varentropy", "varentropy_nats2", ...),
        ("residual", "residual_norm", -1),
        ("head", "received_mass", (1, 2)),
        ("key", "key_norm", (1, 1)),
        ("value", "value_norm", (1, 1)),
    ],
)
def test_strip_holds_exactly_the_field(
    small: TraceResult, metric: str, field: str, index: object
) -> None:
    sent = numbers(strip_value(small, layer=1, head=2)["metrics"][metric])
    assert np.array_equal(sent, getattr(small, field)[index], equal_nan=True)


def test_strip_averages_received_attention_over_all_heads(small: TraceResult) -> None:
    sent = numbers(strip_value(small, 0, 0)["metrics"]["attention"])
    assert sent == pytest.approx(small.received_mass.reshape(8, 5).mean(0))


def test_strip_has_no_rank_for_the_first_token(small: TraceResult) -> None:
    sent = numbers(strip_value(small, 0, 0)["metrics"]["rank"])
    assert np.isnan(sent[0])
    assert sent[1:].tolist() == [0, 1, 2, 3]


@given(arrays.arrays(np.float32, st.integers(1, 50), elements=st.floats(width=32)))
def test_payload_keeps_every_bit_and_its_scale_is_finite(values: np.ndarray) -> None:
    payload = Metric("any", values, DEFINITION).payload()
    assert numbers(payload).tobytes() == values.astype("<f4").tobytes()
    json.loads(json.dumps(payload, allow_nan=False))
    assert payload["low"] <= payload["high"]


def test_scale_is_not_stretched_by_one_extreme() -> None:
    values = np.ones(1000, np.float32)
    values[::2] = 2
    values[0] = 1000
    payload = Metric("any", values, DEFINITION).payload()
    assert (payload["low"], payload["high"]) == (1, 2)
    assert Metric("any", values, DEFINITION, "log").payload()["high"] == 1000


def test_scale_reaches_the_maximum_where_it_is_near() -> None:
    payload = Metric("any", np.float32([0, 1, 2, 3]), DEFINITION).payload()
    assert (payload["low"], payload["high"]) == (0, 3)


def test_scale_of_nothing_is_zero() -> None:
    payload = Metric("any", np.float32([np.nan, np.nan]), DEFINITION).payload()
    assert (payload["low"], payload["high"]) == (0, 0)


@pytest.mark.filterwarnings("error")
def test_strip_of_an_unfinished_run_knows_its_tokens_only() -> None:
    value = strip_value(unfinished(5), 0, 0)
    assert len(value["tokens"]) == 5
    assert all(np.isnan(numbers(m)).all() for m in value["metrics"].values())


def test_strip_marks_added_tokens(small: TraceResult) -> None:
    assert strip_value(small, 0, 0)["special"] == [0]


def test_strip_sends_text_as_it_is_shown() -> None:
    words = ("<script>", "${x}", "\n", " ", "\u202e")
    value = strip_value(trace(5, token_text=words), 0, 0)
    assert value["tokens"] == ["<script>", "${x}", "⏎\n", "·", "<U+202E>"]


def test_patch_holds_what_a_head_changes_and_nothing_else(small: TraceResult) -> None:
    before, after = (strip_value(small, *place)["metrics"] for place in ((0, 0), (1, 2)))
    patch = strip_patch(small, 1, 2)["patch"]
    assert patch == {name: after[name] for name in after if after[name] != before[name]}


def test_every_metric_is_defined(small: TraceResult) -> None:
    for metric in metrics(small, 0, 0).values():
        payload = metric.payload()
        assert payload["title"]
        assert payload["meaning"]
        assert payload["formula"]
