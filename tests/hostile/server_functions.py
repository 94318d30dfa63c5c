"""Odd questions to the functions of the pages' parts, such as a class, a lesson, or an export.

A part's function takes one value and reads names from it. Which it reads is found out by asking it
with a value that writes them down, so that a new function is tried as soon as it is there.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import gradio as gr
import httpx

from tokenarium.backend import Lab
from tokenarium.ui.lessons.reading import lessons
from tokenarium.ui.pages import every_page
from tokenarium.ui.shell.answers import DEFECT

PLACE = "/gradio_api/component_server"

SECRET = "a-visitors-own-words"
"""Stands in texts that are sent, and must not stand in the log."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, 2**70, 0.5, "", " ", SECRET, "\ud800" + SECRET, "\0"),
    *([], {}, [[]], [None], {"": None}, {"a": [SECRET]}, [SECRET] * 3, "x" * 5_000, "../" * 90),
    *("'; DROP TABLE runs; --", "=1+1", "<script>alert(1)</script>", "${alert(1)}", "\u202e", "{{"),
)
LEFT_OUT = 0.1
"""Share of what a function reads that is not sent."""


class Asked(dict[str, Any]):
    """A question that has whatever is read from it, and knows what was."""

    def __init__(self, known: dict[str, list[Any]], draw: random.Random, odd: float) -> None:
        super().__init__()
        self._known, self._draw, self._odd = known, draw, odd

    def __missing__(self, name: str) -> Any:
        known = self._known.get(name)
        wild = known is None or self._draw.random() < self._odd
        self[name] = self._draw.choice(ODD if wild else known or ODD)
        return self[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return what is under a name, which there is now."""
        return self[name]


def functions(blocks: gr.Blocks) -> list[tuple[int, str, Any]]:
    """Return number of the part, name and function of every function that a page may call."""
    return [
        (number, name, function)
        for number, part in blocks.blocks.items()
        for name, function in vars(part).items()
        if getattr(function, "_is_server_fn", False)
    ]


def questions(
    blocks: gr.Blocks, known: dict[str, list[Any]], seed: int, count: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return names and bodies of requests, every function in turn.

    Args:
        blocks: the application.
        known: by name that a function reads, values that are right.
        seed: of what is drawn.
        count: requests.
    """
    draw, found = random.Random(seed), functions(blocks)
    for number in range(count):
        part, name, function = found[number % len(found)]
        asked: Any = Asked(known, draw, draw.choice((0.0, 0.2, 0.5)))
        if draw.random() < 0.1:
            asked = draw.choice(ODD)
        else:
            _read(function, asked)
            for unsaid in [key for key in asked if draw.random() < LEFT_OUT]:
                del asked[unsaid]
        body = {"component_id": part, "fn_name": name, "session_hash": f"s{seed}-{number}"}
        yield f"{name} of {part} {asked!r:.200}", body | {"data": asked}


def known_values(lab: Lab) -> dict[str, list[Any]]:
    """Return what functions of parts may be asked rightly, by name; begins a class."""
    examples = [each for kind in Lab.kinds() for each in lab.examples(kind.slug)]
    runs = [example.run_id for example in examples]
    begun = lab.classes.begin("Ours")
    return {
        "run": runs,
        "runs": [runs[:2]],
        "lesson": list(lessons()),
        "step": [1, 2],
        "code": [begun.code],
        "group": [begun.code],
        "secret": [begun.secret],
        "visitor": ["a" * 32, "b" * 32],
        "title": ["Year 10"],
        "file": ["json", "nodes.csv", "png", "tables.zip"],
        "section": [slug for page in every_page() for slug in getattr(page, "sections", ())],
        "round": [0, 1],
        "lane": [0, 1],
    }


def answer(http: httpx.Client, body: dict[str, Any]) -> str:
    """Return what is said where a question is refused, else nothing.

    Raises:
        AssertionError: if it ends neither in an answer nor in words that say what was wrong.
    """
    headers = {"content-type": "application/json", "cookie": f"tokenarium_visitor={'a' * 32}"}
    told = http.post(PLACE, content=json.dumps(body), headers=headers)
    said = "" if told.status_code == 200 else told.json().get("detail", "")
    assert told.status_code < 500, told.text[:200]
    assert DEFECT not in told.text, "called a fault of the program"
    assert said or told.status_code == 200, f"{told.status_code} without words"
    return str(said)


def _read(function: Any, asked: Asked) -> None:
    """Let a function write down what it reads, whatever comes of it."""
    request = gr.Request(session_hash="written-down")
    for more in ((), (request,)):
        try:
            function(asked, *more)
        except Exception:  # noqa: BLE001 - what it makes of it is found out over HTTP
            continue
        return
