"""Requests and arguments with odd values: of another type, past any range, or no text at all."""

import copy
import inspect
import json
import random
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from pydantic import ValidationError

from tests.hostile.drawing import places, spoiled, values
from tests.hostile.tokenizers import texts
from tokenarium import Lab
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.ui.audits.examples import IMPORTS

ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    2,
    2**31,
    2**63,
    10**400,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\0",
    "\ud800",
    "bundled/draft",
    "../../etc/passwd",
    "x" * 300,
    "/" * 5_000,
    "' OR 1=1 --",
    b"x",
    [],
    [1],
    [[]],
    (),
    {},
    {"name": "x"},
    {"slug": "recent", "budget": -1},
    {1: 2},
    object(),
    set(),
    ...,
]
STRINGS = [*(value for value in ODD if isinstance(value, str)), "example-first-token"]
PLAIN = (str, int, float, list, dict, type(None))
"""What JSON can hold."""


PYTHONS = re.compile(
    r"values to unpack|invalid literal for|could not convert|broadcast|zero-size array|NoneType"
    r"|math domain|division by zero|not in (list|tuple)$|index out of range|has no attribute"
    r"|truth value|unsupported operand|keyword argument|size of tensor|Sizes of tensors|^'\w+'$"
)
"""What Python, NumPy or torch says where a refusal in words is due."""
_QUOTED = re.compile(r"\(.*\)", re.DOTALL)
"""What a refusal quotes of a library stands in parentheses, with words of ours around it."""
SPOILED = 0.75
"""Share of the requests in which something is odd; the others are drawn within the bounds."""
ATTEMPTS = 40
KEPT = {
    "close": "ends the Lab that is tried",
    "prepare": "fetches the default model",
    "prepare_statistics": "compiles",
    "warm": "goes on after it returned; asked for by name in test_parameters",
}
"""Public methods that are not drawn, and why."""
RESPONSE = {
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": {
                "content": [
                    {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []},
                    {"token": "b", "logprob": -1.5, "bytes": None, "top_logprobs": []},
                ]
            },
        }
    ],
}
"""With log probabilities."""


def has_words(refusal: str) -> bool:
    """Return whether a refusal says something, and not in Python's words alone."""
    own = _QUOTED.sub("", refusal)
    return bool(own.strip()) and not PYTHONS.search(own)


def requests(
    seed: int, count: int, odd: float = SPOILED
) -> Iterator[tuple[type[ModelRequest], dict[str, Any]]]:
    """Return each kind of request in turn, with values for its fields: a share of them spoiled."""
    draw = random.Random(seed)
    kinds = Lab.kinds()
    for number, text in enumerate(texts(seed, count)):
        kind = kinds[number % len(kinds)].request
        given = _accepted(kind, text[:40], draw)
        if draw.random() < odd:
            given = spoiled(given, ODD, draw)
        if draw.random() < 0.05 * odd:
            given["nothing"] = draw.choice(ODD)
        yield kind, given


def _accepted(kind: type[ModelRequest], text: str, draw: random.Random) -> dict[str, Any]:
    """Return values that fit each other, where a few attempts find some."""
    given: dict[str, Any] = {}
    for _ in range(ATTEMPTS):
        given = values(kind, draw, _known(text, draw))
        with suppress(ValidationError):
            kind.model_validate(given)
            break
    return given


def _known(text: str, draw: random.Random) -> dict[str, list[Any]]:
    """Return what fields of these names mean: a model, a text that is read, a file's content."""
    return {
        "model": ["bundled/draft"],
        "draft_model": ["bundled/draft"],
        "tokenizers": [["bundled/draft"]],
        "text": [text],
        "messages": [[]] * 4 + [[{"role": "user", "content": text}]],
        "words": [["parrot", "river"]],
        "content": [content(draw) for _ in range(3)],
        "any text": [text[:8], "The", " a", "🦊"],
    }


def content(draw: random.Random) -> str:
    """Return a file of another engine in which something is odd."""
    file = draw.choice([*IMPORTS.values(), json.dumps(RESPONSE)])
    if not file.startswith("{"):
        at = draw.randrange(len(file))
        return file[:at] + draw.choice(STRINGS)[:40] + file[at + draw.randrange(9) :]
    plain = [value for value in ODD if isinstance(value, PLAIN) and value != "\ud800"]
    return json.dumps(spoiled(json.loads(file.splitlines()[0]), plain, draw))


def calls(lab: Lab, seed: int, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Return calls of every public method in turn, with values of the right type and of others."""
    draw = random.Random(seed)
    methods = [
        (f"{name}.{method}", getattr(holder, method))
        for name, holder in (("lab", lab), ("classes", lab.classes), ("tokenizers", lab.tokenizers))
        for method in dir(type(holder))
        if not method.startswith("_") and method not in KEPT and callable(getattr(holder, method))
    ]
    for number in range(count):
        name, method = methods[number % len(methods)]
        given, named = _arguments(method, draw)
        yield f"{name}({given!r:.60}, {named!r:.60})", partial(_called, method, given, named)


def _arguments(
    method: Callable[..., object], draw: random.Random
) -> tuple[list[Any], dict[str, Any]]:
    given, named = [], {}
    for name, parameter in inspect.signature(method).parameters.items():
        optional = parameter.default is not parameter.empty
        if parameter.kind is parameter.VAR_KEYWORD or (optional and draw.random() < 0.6):
            continue
        kinds = {str: STRINGS, int: [-1, 0, 1, 10**6], bool: [True, False]}
        value = draw.choice(kinds.get(parameter.annotation, ODD))
        value = draw.choice(ODD) if draw.random() < 0.3 else value
        if optional:
            named[name] = value
        else:
            given.append(value)
    return given, named


def _called(method: Callable[..., object], given: list[Any], named: dict[str, Any]) -> None:
    answer = method(*given, **named)
    if inspect.isgenerator(answer):
        deque(answer, maxlen=0)


HUGE = ("🦊" * 1_000_000, "a " * 1_500_000)
"""4 and 3 MB of text, where the longest that a host takes is far less."""


def huge(seed: int, rounds: int = 6) -> Iterator[tuple[type[ModelRequest], str, dict[str, Any]]]:
    """Return requests of every kind with a huge text in one place each, every place once.

    Yields: the kind, the place in words, and values for its fields.
    """
    seen: set[tuple[str, str]] = set()
    for kind, given in requests(seed, rounds * len(Lab.kinds()), odd=0):
        texts_of = (name for name, field in kind.model_fields.items() if field.annotation is str)
        whole = {**dict.fromkeys(texts_of, "a"), **given}
        for number, (holder, at) in enumerate(places(whole)):
            where = f"{at if isinstance(at, str) else 'entry'} {type(holder[at]).__name__} {number}"
            if (kind.kind, where) in seen:
                continue
            seen.add((kind.kind, where))
            for text in HUGE:
                spoilt = copy.deepcopy(whole)
                inside, key = list(places(spoilt))[number]
                inside[key] = text
                yield kind, where, spoilt
