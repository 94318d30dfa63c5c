"""The strip's numbers are the result's in half precision; one message stays small at 32k tokens."""

import base64
import dataclasses
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.browser.strip_page import long_text
from tests.ui.hand_made import trace, unfinished
from tokenarium.backend import JudgeResult, TraceResult
from tokenarium.backend.runs.read_text import without_turns
from tokenarium.ui.components.colouring import COLOURINGS, USUAL
from tokenarium.ui.components.judged import judged_patch
from tokenarium.ui.components.strip import packed_numbers, packed_texts, strip_patch, strip_value
from tokenarium.ui.shell.selection import Chosen

FIRST, OTHER = Chosen("r", 0, None, 0, 0), Chosen("r", 0, None, 1, 2)
LONGEST = 32_768
MOST_BYTES = 400_000


def numbers(packed: dict[str, Any]) -> np.ndarray:
    """Return what the browser makes of the text."""
    halves = np.frombuffer(base64.b64decode(packed["values"]), "<f2")
    return np.ldexp(halves.astype(np.float64), -packed["exponent"])


def bits(text: str, count: int) -> list[int]:
    """Return the places of the bits that are set."""
    packed = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.flatnonzero(np.unpackbits(packed, bitorder="little")[:count]).tolist()


def texts(packed: dict[str, Any]) -> list[str]:
    """Return what the browser makes of the vocabulary."""
    vocabulary = packed["vocabulary"].split("\x7f")
    if "which" not in packed:
        return vocabulary
    raw = base64.b64decode(packed["which"])
    return [vocabulary[i] for i in np.frombuffer(raw, "<u4" if packed["wide"] else "<u2")]


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
def test_strip_holds_the_field(small: TraceResult, metric: str, field: str, index: object) -> None:
    sent = numbers(strip_value(small, OTHER)["metrics"][metric])
    assert sent == pytest.approx(getattr(small, field)[index], rel=2**-11, nan_ok=True)


def test_strip_averages_received_attention_over_all_heads(small: TraceResult) -> None:
    sent = numbers(strip_value(small, FIRST)["metrics"]["attention"])
    assert sent == pytest.approx(small.received_mass.reshape(8, 5).mean(0), rel=2**-11)


def test_shares_of_all_attention_add_up_to_a_hundred() -> None:
    weights = np.array([[1, 0, 0, 0], [0.75, 0.25, 0, 0], [0.5, 0, 0.5, 0], [0.75, 0, 0, 0.25]])
    received = np.tile(weights.sum(0) / np.arange(4, 0, -1), (2, 4, 1)).astype(np.float32)
    sent = numbers(strip_value(trace(4, received_mass=received), FIRST)["metrics"]["share"])
    assert sent.tolist() == [75, 6.25, 12.5, 6.25]


def test_five_colourings_of_three_groups_are_in_sight(small: TraceResult) -> None:
    described = strip_value(small, FIRST)["metrics"]
    assert [m["button"] for m in described.values() if not m["more"]] == [
        "share of attention",
        "stands out",
        "surprisal",
        "entropy",
        "residual norm",
    ]
    groups = [m["group"] for m in described.values()]
    assert list(dict.fromkeys(groups)) == ["Attention", "Surprise", "Inside"]
    assert groups == sorted(groups, key=["Attention", "Surprise", "Inside"].index)


@pytest.mark.parametrize("windows", [(0, 0), (2, 0), (2, 3)])
def test_uniform_attention_is_once_the_noise(windows: tuple[int, int]) -> None:
    weights = np.zeros((2, 4, 6, 6))
    for layer, window in enumerate(windows):
        for i in range(6):
            seen = slice(max(0, i + 1 - window) if window else 0, i + 1)
            weights[layer, :, i, seen] = 1 / (i + 1 - seen.start)
    received = weights.sum(2) / np.arange(6, 0, -1)
    result = trace(6, received_mass=received.astype(np.float32), attention_window=np.int32(windows))
    sent = numbers(strip_value(result, FIRST)["metrics"]["noise"])
    assert sent == pytest.approx(np.ones(6), rel=1e-3)


def test_peak_is_the_largest_of_any_layer() -> None:
    values = np.zeros((3, 5, 3), np.float32)
    values[1, 3, 0], values[2, 3, 0], values[0, 1, 0] = -90, 40, 7
    sent = numbers(strip_value(trace(5, residual_top_values=values), FIRST)["metrics"]["peak"])
    assert sent.tolist() == [0, 7, 0, 90, 0]


def test_strip_has_no_rank_for_the_first_token(small: TraceResult) -> None:
    sent = numbers(strip_value(small, FIRST)["metrics"]["rank"])
    assert np.isnan(sent[0])
    assert sent[1:].tolist() == [0, 1, 2, 3]


def test_the_last_sixteen_tokens_are_told_where_few_look_at_them(long: TraceResult) -> None:
    described = strip_value(long, FIRST)["metrics"]
    assert {name for name, m in described.items() if m["few"] is not None} == {
        "neighbours",
        "noise",
        "attention",
        "head",
    }
    assert described["noise"]["few"] == 130 - 16
    assert strip_value(trace(5), FIRST)["metrics"]["noise"]["few"] == 0


@given(arrays.arrays(np.float32, st.integers(1, 50), elements=st.floats(width=32)))
def test_numbers_survive_half_precision_whatever_their_size(values: np.ndarray) -> None:
    sent = numbers(packed_numbers(values))
    finite = np.isfinite(values)
    assert np.array_equal(sent[~finite], values[~finite].astype(np.float64), equal_nan=True)
    # The largest is at least 2^14 and the step of the smallest halves 2^-24.
    smallest = float(np.abs(values[finite]).max(initial=0)) * 2.0**-38
    assert sent[finite] == pytest.approx(values[finite].astype(float), rel=2**-11, abs=smallest)


@pytest.mark.parametrize("top", [2048, 200_000])
def test_ranks_below_2049_are_exact(top: int) -> None:
    ranks = np.asarray([0, 1, 7, 999, 2047, 2048, top], np.float32)
    assert numbers(packed_numbers(ranks))[:6].tolist() == ranks[:6].tolist()


@given(st.lists(st.sampled_from(["a", " b", "\n", "<b>", " ", "\x7f"]), min_size=1, max_size=30))
def test_texts_are_those_of_the_tokens(tokens: list[str]) -> None:
    shown = {"\n": "⏎\n", " ": "·", "\x7f": "␡"}
    assert texts(packed_texts(tuple(tokens))) == [shown.get(t, t) for t in tokens]


def test_many_different_texts_keep_their_places() -> None:
    tokens = (*(str(n) for n in range(2**16 + 2)), "7")
    assert texts(packed_texts(tokens)) == list(tokens)


@pytest.mark.filterwarnings("error")
def test_strip_of_an_unfinished_run_knows_its_tokens_only() -> None:
    value = strip_value(unfinished(5), FIRST)
    assert len(texts(value["texts"])) == 5
    assert all(np.isnan(numbers(m)).all() for m in value["metrics"].values())


def test_strip_marks_added_tokens_words_and_the_end_of_training() -> None:
    words = ("<s>", "Un", "do", ".", " It")
    value = strip_value(trace(5, token_text=words, context=4), FIRST)
    assert value["special"] == [0]
    assert bits(value["words"], 5) == [0, 1, 3, 4]
    assert bits(value["sentences"], 5) == [0, 1, 4]
    assert value["context"] == 4
    assert strip_value(trace(5, context=5), FIRST)["context"] is None


def test_strip_sends_text_as_it_is_shown() -> None:
    words = ("<script>", "${x}", "\n", " ", "\u202e")
    value = strip_value(trace(5, token_text=words), FIRST)
    assert texts(value["texts"]) == ["<script>", "${x}", "⏎\n", "·", "<U+202E>"]


def test_patch_holds_what_a_head_changes_and_nothing_else(small: TraceResult) -> None:
    before, after = (strip_value(small, place)["metrics"] for place in (FIRST, OTHER))
    patch = strip_patch(small, OTHER)["patch"]
    assert patch == {name: after[name] for name in after if after[name] != before[name]}


def test_every_colouring_is_defined(small: TraceResult) -> None:
    for described in strip_value(small, FIRST)["metrics"].values():
        assert described["title"]
        assert described["meaning"]
        assert described["formula"]


@pytest.fixture(scope="module")
def longest() -> TraceResult:
    return long_text(LONGEST)


@pytest.mark.parametrize("metric", [None, *COLOURINGS])
def test_a_long_text_sends_the_shown_numbers_only(longest: TraceResult, metric: str | None) -> None:
    chosen = dataclasses.replace(OTHER, metric=metric)
    value, patch = strip_value(longest, chosen), strip_patch(longest, chosen)
    assert {n for n, m in value["metrics"].items() if "values" in m} == {metric or USUAL}
    assert len(numbers(value["metrics"][metric or USUAL])) == LONGEST
    assert {n for n, m in patch["patch"].items() if "values" in m} == {metric} - {None}
    assert len(orjson.dumps(value)) < MOST_BYTES
    assert len(orjson.dumps(patch)) < MOST_BYTES


def test_a_long_text_without_any_repetition_still_fits() -> None:
    value = strip_value(trace(LONGEST, tiles=1, lens=False), FIRST)
    assert len(orjson.dumps(value)) < MOST_BYTES


def test_a_judged_text_adds_a_colouring_for_each_measure_that_says_something_of_tokens() -> None:
    result = JudgeResult(
        token_ids=np.arange(3, dtype=np.int32),
        token_text=("a", "b", "c"),
        text="abc",
        **without_turns(3),
        judged=np.array([False, True, True]),
        surprisal_nats=np.array([np.nan, 1, 2], np.float32),
        entropy_before_nats=np.array([np.nan, 1, 1], np.float32),
        measures=("min_k", "window_entropy"),
        titles=("Min-K%", "Window entropy (ARES)"),
        token_score=np.array([[np.nan, 1, 2], [np.nan] * 3], np.float32),
        marked=np.zeros((2, 3), np.bool_),
        **dict.fromkeys(
            ("score", "score_low", "score_high", "null_mean", "null_low", "null_high"),
            np.zeros(2),
        ),
        null_at_least=np.ones(2),
        details={},
        notes=(),
    )
    patch = judged_patch(result)["patch"]
    assert set(patch) == {"judge_min_k"}
    assert patch["judge_min_k"]["button"] == "Min-K%"
    assert patch["judge_min_k"]["unit"] == "nats"
    halves = np.frombuffer(base64.b64decode(patch["judge_min_k"]["values"]), "<f2")
    shown = np.ldexp(halves.astype(np.float64), -patch["judge_min_k"]["exponent"])
    np.testing.assert_array_equal(shown, [np.nan, 1, 2])
