"""Read a response with log probabilities: chat completions, completions, and streams of either."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tokenarium.backend.logprobs.response import GivenText, GivenToken

MOST_TOKENS = 8_192
MOST_CHOICES = 16
LOWEST = -100.0
"""ln p that a server writes for a token outside of what it computed is moved up to this."""


def parse(text: str) -> Any:
    """Return the JSON of a response: one value, one a line, or a stream of ``data:`` lines.

    Raises: ValueError saying where it is no JSON.
    """
    text = text.removeprefix("\ufeff")
    try:
        return _json(text)
    except orjson.JSONDecodeError as error:
        lines = [line.strip().removeprefix("data:").strip() for line in text.splitlines()]
        values = []
        for number, line in enumerate(lines, 1):
            if not line or line == "[DONE]":
                continue
            try:
                values.append(_json(line))
            except orjson.JSONDecodeError:
                raise ValueError(
                    f"this is no JSON (line {number}: {error}): paste a whole response, or its "
                    "stream line by line"
                ) from error
        if not values:
            raise ValueError(
                "nothing was given: paste a response with logprobs, or choose a file"
            ) from error
        return values


def _json(text: str) -> Any:
    """Return JSON, in which numbers may be NaN or infinite, as Python writes them.

    Raises: orjson.JSONDecodeError; also where it has half a character or what is too large.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            value = json.loads(text)
            orjson.dumps(value)  # refuses what a store and a browser could not hold
        except (ValueError, TypeError, RecursionError):
            raise error from None
        return value


def recognises(value: Any) -> bool:
    """Return whether JSON is a response with log probabilities."""
    return any(_logprobs(choice) for one in _objects(value) for choice in _choices(one))


def is_response(text: str) -> bool:
    """Return whether a text is a response with log probabilities."""
    try:
        return recognises(parse(text))
    except ValueError:
        return False


def read_logprobs(value: Any) -> tuple[GivenText, ...]:
    """Return the texts of a response, one for each choice.

    Args:
        value: JSON of a chat completion (``choices[].logprobs.content[]`` with ``token``,
            ``logprob`` and ``top_logprobs``), of a completion (``choices[].logprobs`` with
            ``tokens``, ``token_logprobs`` and ``top_logprobs``), or a list of the chunks of a
            stream. ``prompt`` or ``messages`` beside ``choices``, or of a ``request``, are kept.

    Raises:
        ValueError: naming what is missing or does not fit, and how to ask for it.
    """
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    about: dict[tuple[str, int], dict[str, Any]] = {}
    for number, one in enumerate(_objects(value)):
        name = one.get("id") if isinstance(one.get("id"), str) else f"#{number}"
        for place, choice in enumerate(_choices(one)):
            index = choice.get("index", place)
            key = (str(name), index if isinstance(index, int) else place)
            found.setdefault(key, []).append(choice)
            about.setdefault(key, one)
    if not found:
        raise ValueError(
            "this has no choices: give a response of chat completions or completions, with logprobs"
        )
    if len(found) > MOST_CHOICES:
        raise ValueError(f"this has {len(found)} texts, over {MOST_CHOICES}: give fewer at once")
    texts = tuple(_text(about[key], parts) for key, parts in found.items())
    if not any(text.tokens for text in texts):
        raise ValueError(
            "the response has no log probabilities: ask with logprobs=true and top_logprobs=20 "
            "(chat completions), or logprobs=5 (completions)"
        )
    return tuple(text for text in texts if text.tokens)


def _objects(value: Any) -> list[dict[str, Any]]:
    values = value if isinstance(value, list) else [value]
    found = []
    for one in values:
        if isinstance(one, dict):
            inner = one.get("response")
            body = inner.get("body", inner) if isinstance(inner, dict) else one
            found.append({**one, **body} if isinstance(body, dict) else one)
    return found


def _choices(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    choices = one.get("choices")
    return [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []


def _logprobs(choice: Mapping[str, Any]) -> dict[str, Any]:
    found = choice.get("logprobs")
    return found if isinstance(found, dict) else {}


def _text(one: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> GivenText:
    tokens: list[GivenToken] = []
    ended = ""
    for part in parts:
        given = _logprobs(part)
        tokens += _chat(given["content"]) if given.get("content") else []
        tokens += _completion(given) if given.get("tokens") else []
        ended = part.get("finish_reason") or ended
    if len(tokens) > MOST_TOKENS:
        raise ValueError(f"a text has {len(tokens):,} tokens, over {MOST_TOKENS:,}: give a part")
    model = one.get("model")
    return GivenText(
        tuple(tokens), model if isinstance(model, str) else "", _prompt(one), str(ended)
    )


def _prompt(one: Mapping[str, Any]) -> str:
    request = one.get("request")
    for where in (one, request if isinstance(request, dict) else {}):
        if isinstance(where.get("prompt"), str):
            return str(where["prompt"])
        messages = where.get("messages")
        if isinstance(messages, list):
            said = [m.get("content") for m in messages if isinstance(m, dict)]
            return "\n".join(text for text in said if isinstance(text, str))
    return ""


def _chat(content: Any) -> list[GivenToken]:
    if not isinstance(content, list):
        raise ValueError(f"logprobs.content is {_kind(content)}, not a list of tokens")
    found = []
    for place, entry in enumerate(content):
        where = f"logprobs.content[{place}]"
        if not isinstance(entry, dict):
            raise ValueError(f"{where} is {_kind(entry)}, not a token with its logprob")
        top = entry.get("top_logprobs") or ()
        if not isinstance(top, list | tuple):
            raise ValueError(f"{where}.top_logprobs is {_kind(top)}, not a list")
        pairs = [_pair(each, f"{where}.top_logprobs[{n}]") for n, each in enumerate(top)]
        text, log_prob = _pair(entry, where)
        found.append(GivenToken(text, log_prob, _ordered(pairs)))
    return found


def _completion(given: Mapping[str, Any]) -> list[GivenToken]:
    tokens, logs = given["tokens"], given.get("token_logprobs")
    if not (isinstance(logs, list) and isinstance(tokens, list)):
        raise ValueError("logprobs has tokens without token_logprobs: both are lists")
    tops = given.get("top_logprobs") or [None] * len(tokens)
    if not isinstance(tops, list):
        raise ValueError(f"logprobs.top_logprobs is {_kind(tops)}, not a list")
    if not len(tokens) == len(logs) == len(tops):
        raise ValueError(
            f"logprobs has {len(tokens)} tokens, {len(logs)} token_logprobs and {len(tops)} "
            "top_logprobs: each has one for every token"
        )
    found = []
    for place, (text, log, top) in enumerate(zip(tokens, logs, tops, strict=True)):
        where = f"logprobs.token_logprobs[{place}]"
        if log is None:  # the first token of an echoed prompt
            continue
        pairs = [
            (str(name), _log(value, f"logprobs.top_logprobs[{place}][{name!r}]"))
            for name, value in (top.items() if isinstance(top, dict) else ())
        ]
        found.append(GivenToken(str(text), _log(log, where), _ordered(pairs)))
    return found


def _pair(entry: Any, where: str) -> tuple[str, float]:
    if not isinstance(entry, dict) or not isinstance(entry.get("token"), str):
        raise ValueError(f"{where} has no token: each has token and logprob")
    return entry["token"], _log(entry.get("logprob"), f"{where}.logprob")


def _log(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(f"{where}={value!r:.40} is no number: it is ln p, at most 0")
    if value > 1e-3:
        raise ValueError(f"{where}={value:g} is above 0: it is ln p, at most 0")
    return min(0.0, max(LOWEST, float(value)))


def _ordered(pairs: Sequence[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
