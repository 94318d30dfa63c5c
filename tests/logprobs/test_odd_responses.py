"""Odd responses: whatever stands at a place, a sentence says what does not fit, or it is shown."""

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.logprobs.test_logprobs import CHAT, COMPLETION
from tokenarium.backend.decoding.result import DecodeResult
from tokenarium.backend.logprobs.decoded import as_decoded
from tokenarium.backend.logprobs.reading import parse, read_logprobs
from tokenarium.ui.components.decode_card import decode_sentence
from tokenarium.ui.components.decoding import decoding_value
from tokenarium.ui.components.decoding_step import step_value
from tokenarium.ui.figures.decoding import scatter

NAN = float("nan")
ODD: list[Any] = [
    *(None, True, 0, -1, 5, -1e308, NAN, -float("inf"), 10**30, "", "x", "\0", "<script>"),
    *([], {}, [None], [[]], {"a": 1}),
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value of a JSON value, itself included."""
    yield path
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(each, (*path, name))


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """Return a JSON value with another one at a place."""
    if not path:
        return odd
    made = json.loads(json.dumps(value))
    at = made
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = odd
    return made


@pytest.mark.parametrize("whole", [CHAT, COMPLETION])
def test_whatever_stands_at_a_place_it_is_shown_or_refused_in_words(whole: Any) -> None:
    shown, said = 0, list[str]()
    for path in places(whole):
        for odd in ODD:
            try:
                found = as_decoded(read_logprobs(parse(json.dumps(put(whole, path, odd)))))
            except ValueError as error:
                said.append(str(error))
                continue
            shown += 1
            assert orjson.loads(decoding_value(found, "x"))["imported"]
            orjson.dumps(step_value(found, 0, 0))
            assert isinstance(decode_sentence(found), str)
            if shown % 40 == 1:  # these take ten times as long
                assert scatter(found) is not None
                again = DecodeResult.from_stored(found.facts(), found.arrays())
                assert again.facts() == found.facts()
    assert shown > 20
    assert len(said) > 20
    assert all(": " in words or ", not a" in words for words in said)


def test_what_python_writes_is_read_and_half_a_character_is_not() -> None:
    low = {"token": "a", "logprob": -float("inf"), "top_logprobs": []}
    text = "\ufeff" + json.dumps({"choices": [{"logprobs": {"content": [low]}}]})
    assert "-Infinity" in text
    assert read_logprobs(parse(text))[0].tokens[0].log_prob == -100
    with pytest.raises(ValueError, match=r"logprob=nan is no number"):
        read_logprobs(parse(text.replace("-Infinity", "NaN")))
    for odd in ('{"token": "\\ud800"}', "[" * 5000, '{"n": 1' + "0" * 400 + "}"):
        with pytest.raises(ValueError, match="paste a whole response"):
            parse(odd)
    with pytest.raises(ValueError, match="both are lists"):
        read_logprobs({"choices": [{"logprobs": {"tokens": 5, "token_logprobs": [-1]}}]})
