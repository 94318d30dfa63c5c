"""Numbers of an estimate: each opens its definition and Python that estimates it again.

The numbers of an estimate are handed to its card as numbers that know their names: however the card
writes them, and whatever unit it turns them into, their text is marked.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

from tokenarium.backend import Lab, ModelRequest, lab_lines
from tokenarium.ui.text import escape
from tokenarium.ui.why.answer import Answer, AnswerNumber, estimates
from tokenarium.ui.why.number import of_run, source

BEGIN, OF, END = "\ue010", "\ue011", "\ue012"
"""Around the text of a number until the card is written: no text of a card has them."""
_MARKED = re.compile(f"{BEGIN}([^{OF}]*){OF}([^{END}]*){END}((?: (?:[KMG]iB|ms|s|min|B)\\b)?)")
"""A number with its unit, which tells how it was turned."""
_TAG = re.compile(r"(<[^>]*>)")
UNITS = (("_bytes", "bytes"), ("_ms", "ms"), ("_tokens", "tokens"))
SOURCE = (
    "Estimated from the model's sizes; what is measured (times, acceptance, ratios) from earlier "
    "runs of this model that are stored on this machine."
)


def _written(of: str, plain: float, how: str) -> str:
    return f"{BEGIN}{of}{OF}{plain:{how}}{END}"


class _Whole(int):
    """A whole number that knows its name."""

    of: str

    def __format__(self, how: str) -> str:
        return _written(self.of, int(self), how)

    def __str__(self) -> str:
        return format(self)

    def __truediv__(self, other: Any) -> Any:
        found = int(self) / other
        return found if isinstance(other, _Whole | _Real) else named(found, self.of)


class _Real(float):
    """A number that knows its name."""

    of: str

    def __format__(self, how: str) -> str:
        return _written(self.of, float(self), how)

    def __str__(self) -> str:
        return format(self)

    def __truediv__(self, other: Any) -> Any:
        found = float(self) / other
        return found if isinstance(other, _Whole | _Real) else named(found, self.of)


def named(value: float, of: str) -> Any:
    """Return a number that says of which name it is wherever it is written."""
    made: Any = (_Whole if isinstance(value, int) else _Real)(value)
    made.of = of
    return made


def marked_card(lab: Lab, cost: Any, request: ModelRequest, card: Callable[[Any, Any], str]) -> str:
    """Return the card of an estimate, its numbers marked.

    Args:
        lab: that keeps how each is asked again.
        cost: the estimate, a dataclass.
        request: what it is of.
        card: writes it.
    """
    numbers: dict[str, AnswerNumber] = {}
    html = card(_told(cost, (), numbers), request)
    lines = tuple(f"{_asking(request)}\n\ncost = lab.estimate(request)".splitlines())
    answer = Answer(numbers, lambda: {"cost": cost}, lines, SOURCE)
    return of_run(_buttons(html), estimates(lab).put(answer, repr(cost)))


def _told(cost: Any, path: tuple[str | int, ...], numbers: dict[str, AnswerNumber]) -> Any:
    """Return an estimate whose numbers know their names, and declare these in ``numbers``."""
    changed: dict[str, Any] = {}
    kind: Any = type(cost)
    meanings = _meanings(kind)
    for field in fields(cost):
        value, here = getattr(cost, field.name), (*path, field.name)
        if isinstance(value, bool):
            continue
        if isinstance(value, int | float):
            name = "-".join(str(part) for part in here if isinstance(part, str))
            places = [part for part in here if isinstance(part, int)]
            numbers[name] = AnswerNumber(
                field.name.replace("_", " "),
                meanings.get(field.name) or "What the run is asked to do, or takes at most.",
                _expression(here),
                next((unit for end, unit in UNITS if field.name.endswith(end)), ""),
            )
            changed[field.name] = named(value, source(name, *places).written())
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            changed[field.name] = tuple(
                _told(each, (*here, place), numbers) for place, each in enumerate(value)
            )
    return _with_properties(replace(cost, **changed), cost, path, numbers)


def _with_properties(
    told: Any, cost: Any, path: tuple[str | int, ...], numbers: dict[str, AnswerNumber]
) -> Any:
    """Return an estimate of which what it computes knows its names too."""
    kind: Any = type(cost)
    computed: dict[str, Any] = {}
    for name, made in vars(kind).items():
        value = getattr(cost, name) if isinstance(made, property) else None
        if path or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        meaning = " ".join((made.__doc__ or "").split())
        numbers[name] = AnswerNumber(name.replace("_", " "), meaning, f"cost.{name}")
        computed[name] = named(value, name)
    if not computed:
        return told
    found: Any = object.__new__(type(kind.__name__, (kind,), computed))
    found.__dict__.update(vars(told))
    return found


def _expression(path: tuple[str | int, ...]) -> str:
    """Return Python for a number, the places in it to be filled."""
    found, places = "cost", 0
    for part in path:
        found += f".{part}" if isinstance(part, str) else f"[{{{places}}}]"
        places += isinstance(part, int)
    return found


@cache
def _meanings(kind: Any) -> dict[str, str]:
    """Return what stands under each field of a dataclass in its source."""
    try:
        [made] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, SyntaxError, TypeError):
        return {}
    assert isinstance(made, ast.ClassDef)
    found: dict[str, str] = {}
    for one, next_ in zip(made.body, made.body[1:], strict=False):
        text = getattr(getattr(next_, "value", None), "value", None)
        if isinstance(one, ast.AnnAssign) and isinstance(next_, ast.Expr) and isinstance(text, str):
            assert isinstance(one.target, ast.Name)
            found[one.target.id] = " ".join(text.split())
    return found


def _asking(request: ModelRequest) -> str:
    """Return lines that ask for the estimate: what is not as it begins, written out."""
    name = type(request).__name__
    values = request.model_dump(mode="json", exclude={"kind"}, exclude_defaults=True)
    given = ", ".join(f"{key}={value!r}" for key, value in values.items())
    asks = f"from tokenarium import {name}\n{lab_lines([request])}"
    return f"{asks}\nrequest = lab.request({name}, {given})"


def _buttons(html: str) -> str:
    """Return HTML with marks in place of what stands around numbers; none within a tag."""
    parts = _TAG.split(html)
    return "".join(
        _MARKED.sub(r"\2\3", part)
        if part.startswith("<")
        else _MARKED.sub(
            lambda found: f'<button data-why="{escape(found[1])}">{found[2]}{found[3]}</button>',
            part,
        )
        for part in parts
    )
