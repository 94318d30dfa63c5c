"""What opens at a number of an answer that is stored nowhere, such as a table over languages.

An answer is kept for a while under a name that its numbers carry as others carry the id of their
run. It says how Python gives it again; numbers of it are lines about it, written here once.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from string import Formatter
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tokenarium.backend import Lab, UserError
from tokenarium.ui.why.number import of_run, unmarked

OF = "kept:"
"""Before an answer's name, where numbers of a run have its id."""
ESTIMATED = "cost:"
"""The same of estimates and quality lines, of which every change of a control makes one."""
MOST_ESTIMATES = 512
MOST = 64
"""Answers that are kept at a time, of all visitors."""
_BUILTINS = {
    "len": len,
    "max": max,
    "min": min,
    "sum": sum,
    "round": round,
    "float": float,
    "list": list,
}


@dataclass(frozen=True)
class AnswerNumber:
    """A number of an answer; ``{0}`` in ``expression`` is its first index."""

    title: str
    meaning: str
    expression: str
    """Python in which the names of the answer stand for its values."""
    unit: str = ""
    axes: str = ""
    formula: str = ""
    paper: str = ""


@dataclass(frozen=True)
class Answer:
    """What was answered, and how it is asked again."""

    numbers: Mapping[str, AnswerNumber]
    """By name, what a page marks."""
    values: Callable[[], Mapping[str, Any]]
    """Gives what the names in ``expression`` stand for: what was shown, or the same made again."""
    lines: tuple[str, ...]
    """Python that makes them again."""
    note: str = ""
    points: Mapping[str, tuple[str, Sequence[int]]] = field(default_factory=dict)
    """By array of a figure, ``figure_y 0`` of its first trace: which number, and its last index."""


class Kept:
    """The latest answers; safe to use from many threads."""

    def __init__(self, most: int = MOST, of: str = OF) -> None:
        self._most, self._of, self._lock = most, of, Lock()
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def put(self, answer: Answer, *apart: str) -> str:
        """Keep an answer and return its name; the same question has the same one.

        Args:
            answer: to keep.
            apart: what the lines do not say but another answer may differ in: who asks, a text.
        """
        asked = "\0".join((*answer.lines, *apart)).encode("utf-8", "surrogatepass")
        name = hashlib.sha256(asked).hexdigest()[:24]
        with self._lock:
            self._answers[name] = answer
            self._answers.move_to_end(name)
            while len(self._answers) > self._most:
                self._answers.popitem(last=False)
        return self._of + name

    def get(self, of: str) -> Answer | None:
        """Return an answer by what ``put`` returned; None where it is no longer kept."""
        with self._lock:
            return self._answers.get(of.removeprefix(self._of))

    def explained(self, of: str, written: str) -> dict[str, str]:
        """Return what a number of an answer is, with the same parts as ``explain.explained``.

        Args:
            of: what ``put`` returned, as the browser sends it.
            written: ``Source.written()``; only names that are declared and whole numbers are taken.

        Raises:
            UserError: if the answer is no longer kept, or has no such number.
        """
        answer = self.get(of)
        if answer is None:
            raise UserError(
                "this answer is no longer kept: ask again on the page, and press the number"
            )
        name, *told = _pointed(answer, written[:200]).split(" ")
        number = answer.numbers.get(name)
        if number is None or len(told) != _indices(number) or not all(map(str.isdecimal, told)):
            raise UserError(
                f"number={written[:60]!r} is none of this answer: press one on the page"
            )
        expression = number.expression.format(*map(int, told))
        try:
            # A line of ours with whole numbers in it; nothing else of the browser's is in it.
            names = {"__builtins__": _BUILTINS, "np": np, **answer.values()}
            value = eval(expression, names)  # noqa: S307
        except (LookupError, OverflowError, TypeError, ZeroDivisionError) as error:
            raise UserError(
                f"number={written[:60]!r} is none of this answer: press one on the page"
            ) from error
        head = ("import numpy as np", "") if "np." in expression else ()
        return {
            "title": number.title,
            "meaning": number.meaning,
            "of": "",
            "formula": number.formula,
            "axes": number.axes,
            "unit": number.unit,
            "paper": number.paper,
            "slice": expression.replace("result.", ""),
            "value": str(value),
            "python": "\n".join((*head, *answer.lines, f"print({expression})")),
            "note": answer.note,
        }


def kept(lab: Lab) -> Kept:
    """Return the answers that a lab's pages gave lately."""
    with _lock:
        return _kept.setdefault(lab, Kept())


def estimates(lab: Lab) -> Kept:
    """Return the estimates that a lab's pages gave lately."""
    with _lock:
        return _estimates.setdefault(lab, Kept(MOST_ESTIMATES, ESTIMATED))


def opening(lab: Lab, html: str, answer: Answer | None) -> str:
    """Return HTML whose numbers are of an answer, which is kept; plain text where there is none."""
    return unmarked(html) if answer is None else of_run(html, estimates(lab).put(answer))


def _pointed(answer: Answer, written: str) -> str:
    """Return which number of the answer is meant: of a point of its figure, the one it is."""
    array, _, at = written.rpartition(" ")
    name, last = answer.points.get(array, ("", ()))
    return f"{name} {last[int(at)]}" if at.isdecimal() and int(at) < len(last) else written


def _indices(number: AnswerNumber) -> int:
    found = {part for _, part, _, _ in Formatter().parse(number.expression) if part is not None}
    return len(found)


_estimates: WeakKeyDictionary[Lab, Kept] = WeakKeyDictionary()
_kept: WeakKeyDictionary[Lab, Kept] = WeakKeyDictionary()
_lock = Lock()
