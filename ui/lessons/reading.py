"""Reads lessons from their files: Markdown with TOML in front, and in one block of every step."""

import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tokenarium.ui.lessons.lesson import Asked, Lesson, Question, Step

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "lessons"
EXAMPLE = "example-"
"""What the ids of shipped runs begin with; a lesson names them by their slugs."""
RUNS = ("run", "sweep", "race")
_FRONT = re.compile(r"\A\+\+\+\n(.*?)\n\+\+\+\n", re.DOTALL)
_STEP = re.compile(r"^## ([^\n]+)\n(.*?)^```step\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LESSON = {"title", "order", "minutes", "after"}
_FIELDS = {
    "open",
    "do",
    "check",
    "hints",
    "learned",
    "right",
    "wrong",
    "ask",
    "options",
    "look",
    "live",
}


@cache
def lessons() -> Mapping[str, Lesson]:
    """Return every lesson by its slug, in their order."""
    found = [read(path.read_text("utf-8"), path.stem) for path in sorted(FOLDER.glob("*.md"))]
    return {lesson.slug: lesson for lesson in sorted(found, key=lambda lesson: lesson.order)}


def read(text: str, slug: str) -> Lesson:
    """Return a lesson.

    Args:
        text: of its file.
        slug: its name in addresses, which is the name of its file.

    Raises:
        ValueError: naming lesson, step and what is missing or not known there.
    """
    front = _FRONT.match(text)
    if front is None:
        raise ValueError(f"{slug}: begin the file with +++, title, order, minutes, after, and +++")
    given = _table(front[1], slug, _LESSON)
    if missing := _LESSON - given.keys():
        raise ValueError(f"{slug}: the lines between +++ lack {', '.join(sorted(missing))}")
    steps = tuple(_steps(text[front.end() :], slug))
    if not steps:
        raise ValueError(f"{slug}: no step: write ## and a title, prose, and a block ```step")
    return Lesson(slug, steps=steps, **given)


def _steps(text: str, slug: str) -> Iterator[Step]:
    found = list(_STEP.finditer(text))
    if len(found) != len(re.findall(r"^## ", text, re.MULTILINE)):
        raise ValueError(f"{slug}: every ## is a step and ends with one block ```step")
    for number, (title, prose, block) in enumerate((each.groups() for each in found), 1):
        where = f"{slug}, step {number}"
        given = _table(block, where, _FIELDS)
        if missing := {"open", "do", "check", "hints", "right", "wrong"} - given.keys():
            raise ValueError(f"{where}: lacks {', '.join(sorted(missing))}")
        place = urlsplit(given["open"])
        yield Step(
            title=title.strip(),
            text=prose.strip(),
            page=place.path.removeprefix("./").strip("/"),
            state=_state(place.query),
            do=given["do"],
            checks=tuple(_asked(each, where) for each in _list(given["check"])),
            hints=tuple(given["hints"]),
            learned=given.get("learned", ""),
            right=tuple(_state(each) for each in given["right"]),
            wrong=tuple(_state(each) for each in given["wrong"]),
            question=_question(given),
            look=given.get("look", ""),
            live=given.get("live", False),
        )


def _table(text: str, where: str, known: set[str]) -> dict[str, Any]:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: {error}") from None
    if unknown := found.keys() - known:
        names = ", ".join(sorted(unknown))
        raise ValueError(f"{where}: {names} is not known; known are {', '.join(sorted(known))}")
    return found


def _state(query: str) -> dict[str, str]:
    """Return what an address says; shipped runs by their ids, as the pages know them."""
    found = dict(parse_qsl(query))
    for name in RUNS:
        if name in found:
            ids = [each.removeprefix(EXAMPLE) for each in found[name].split(".")]
            found[name] = ".".join(EXAMPLE + each for each in ids)
    return found


def _asked(text: str, where: str) -> Asked:
    """Return a check as a line says it: ``head_at_least metric=sink value=0.6``."""
    name, *words = shlex.split(text)
    pairs = [each.partition("=") for each in words]
    if odd := [key for key, sign, _ in pairs if not sign]:
        raise ValueError(f"{where}: write parameters of {name} as name=value, not {odd[0]!r}")
    return Asked(name, {key: _value(value) for key, _, value in pairs})


def _value(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _question(given: Mapping[str, Any]) -> Question | None:
    if "ask" not in given:
        return None
    options = given.get("options", {})
    return Question("choice" if options else "number", given["ask"], options)
