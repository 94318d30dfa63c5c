"""Requests and arguments with odd values: of another type, past any range, or no text at all."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.hostile.tokenizers import texts
from tokenarium import Lab
from tokenarium.backend.runs.request import ModelRequest

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
STRINGS = [value for value in ODD if isinstance(value, str)]


def requests(seed: int, count: int) -> Iterator[tuple[type[ModelRequest], dict[str, Any]]]:
    """Return kinds of requests, and values for some of their fields."""
    draw = random.Random(seed)
    kinds = Lab.kinds()
    for text in texts(seed, count):
        kind = draw.choice(kinds).request
        fields = [name for name in kind.model_fields if name not in ("model", "text")]
        values = {"model": "bundled/draft", "text": text[:40]}
        chosen = draw.sample(fields, min(len(fields), draw.choice((0, 1, 1, 2, 4))))
        values |= {name: draw.choice(ODD) for name in chosen}
        if draw.random() < 0.2:
            values |= {draw.choice(("model", "text", "nothing")): draw.choice(ODD)}
        yield kind, values


def calls(lab: Lab, seed: int, count: int) -> Iterator[tuple[str, Callable[[], object]]]:
    """Return calls of public methods, each with one odd value of its type."""
    draw = random.Random(seed)
    methods: dict[str, Callable[[Any], object]] = {
        "open": lab.open,
        "delete": lab.delete,
        "export": lambda odd: lab.export(odd, "json"),
        "export format": lambda odd: lab.export("x", odd),
        "search text": lambda odd: lab.search(text=odd),
        "search limit": lambda odd: lab.search(limit=odd),
        "state": lab.state,
        "warm": lab.warm,
        "methods": lab.methods,
        "examples": lab.examples,
        "query": lab.query,
        "cancel": lab.cancel,
    }
    for _ in range(count):
        name = draw.choice(sorted(methods))
        odd = draw.choice([-1, 0, 1, 10**6] if name.endswith("limit") else STRINGS)
        yield f"{name}({odd!r:.40})", partial(methods[name], odd)
