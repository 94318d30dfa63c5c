"""What opens at a number: its definition, the slice it came from, its value, Python for it."""

import re
from collections.abc import Callable, Sequence
from string import Formatter
from typing import Any

import numpy as np

from tokenarium.backend import (
    Lab,
    Quantity,
    Result,
    Run,
    UserError,
    acceptance_vector,
    batch_means,
    by_rank,
    expected_tokens,
    levels,
    optimal_tree,
    over_neighbours,
    received_noise_by_layer,
    replay_round,
    trace_measures,
)
from tokenarium.ui.why.answer import ESTIMATED, estimates, kept
from tokenarium.ui.why.answer import OF as ANSWERED
from tokenarium.ui.why.formula import Formula
from tokenarium.ui.why.formulas import FORMULAS
from tokenarium.ui.why.said import BEFORE
from tokenarium.ui.why.said import expression as said
from tokenarium.ui.why.usual import OF, explained_usual

KNOWN = {
    "np": np,
    "acceptance_vector": acceptance_vector,
    "batch_means": batch_means,
    "by_rank": by_rank,
    "expected_tokens": expected_tokens,
    "levels": levels,
    "optimal_tree": optimal_tree,
    "over_neighbours": over_neighbours,
    "received_noise_by_layer": received_noise_by_layer,
    "replay_round": replay_round,
    "trace_measures": trace_measures,
}
"""What a formula may call beside NumPy's and the result's own."""
BUILTINS = {
    "max": max,
    "min": min,
    "len": len,
    "float": float,
    "list": list,
    "range": range,
    "zip": zip,
    "sum": sum,
}
IMPORTS = {"np.": "import numpy as np", "re.": "import re"}
"""By what a line has in it, what it needs beside the library."""
RUN = {
    "duration": Formula(
        "",
        "time of the computation",
        "From the start of the run to its result, as it was stored.",
        "run.duration_ms",
        "ms",
    )
}
"""Numbers of a run of any kind that are none of its result."""
ELSEWHERE = (
    "Lab() has the runs of its own machine: to compute this one elsewhere, save it as a notebook."
)
HELD = "One program at a time opens a DuckDB store: end this one before you run these lines."
_MOST_PLACES = 8


def explained(lab: Lab, run_id: str, written: str) -> dict[str, str]:
    """Return what a number of a run is, each part as plain text.

    Args:
        lab: that has the run; a visitor opens it as by its link.
        run_id: of the run in sight.
        written: ``Source.written()``, as the browser sends it: only names that are declared and
            whole numbers are taken from it.

    Returns:
        ``title``, ``meaning``, ``of`` (the field that it is made of), ``formula``, ``axes``,
        ``unit``, ``paper``, ``slice``, ``value``, ``python``, ``note``; empty where there is none.

    Raises:
        UserError: if there is no such run, number or place.
    """
    run = lab.open(run_id)
    found = of_result(run, written, lambda expression: python(run.id, expression))
    return {**found, "note": note(lab, run)}


def note(lab: Lab, run: Run) -> str:
    """Return what must be said of Python that opens a run: where it has it."""
    if lab.settings.hosted:
        examples = lab.examples(run.request.kind)
        return "" if any(each.run_id == run.id for each in examples) else ELSEWHERE
    own = lab.settings.database.startswith("duckdb:///") and ":memory:" not in lab.settings.database
    return HELD if own else ""


def of_result(run: Run, written: str, lines: Callable[[str], str]) -> dict[str, str]:
    """Return the same of a run that is at hand, without its note.

    Args:
        run: of any kind.
        written: as of ``explained``.
        lines: turns a line of Python about ``result`` into all that print it.

    Raises:
        UserError: if there is no such number or place.
    """
    name, places = _read(written)
    formula = {**RUN, **FORMULAS.get(run.request.kind, {})}.get(name)
    field = name.removeprefix(BEFORE) if formula is None else formula.field
    if field != name and formula is None:
        expression = said(run.result, field, places)
    else:
        expression = (
            _place(run.result, name, places) if formula is None else _filled(formula, places)
        )
    value = _value(run, expression, written)
    defined = run.result.quantities().get(field) or Quantity("", "", "", "", "")
    return {
        **_definition(defined, formula),
        "slice": expression.replace("result.", ""),
        "value": str(value),
        "python": lines(expression),
    }


def said_number(lab: Lab, run: object, written: object) -> dict[str, str]:
    """Return what opens at a number as ``explained`` does, or in ``error`` why nothing does.

    ``run`` may also be a measurement of heads (``usual.measurement``) or an answer that is kept for
    a while (``answer.Kept``).
    """
    try:
        if isinstance(run, str) and run.startswith(ANSWERED):
            return kept(lab).explained(run, str(written))
        if isinstance(run, str) and run.startswith(ESTIMATED):
            return estimates(lab).explained(run, str(written))
        if isinstance(run, str) and run.startswith(OF):
            return explained_usual(lab, run.removeprefix(OF), str(written))
        return explained(lab, str(run), str(written))
    except UserError as error:
        return {"error": str(error)}


def python(run_id: str, expression: str) -> str:
    """Return lines that print the number again."""
    called = [name for name in KNOWN if f"{name}(" in expression]
    lines = ["from tokenarium import Lab"]
    if imports := [line for of, line in IMPORTS.items() if of in expression]:
        lines.insert(0, "\n".join(imports) + "\n")
    if called:
        lines.append(f"from tokenarium.backend import {', '.join(called)}")
    run = f'run = lab.open("{run_id}")' if expression.startswith("run.") else ""
    result = f'result = lab.open("{run_id}").result'
    opened = ["lab = Lab()", run or result, f"print({expression})"]
    return "\n".join((*lines, "", *opened))


def _read(written: str) -> tuple[str, list[int]]:
    """Return the name and the places that a browser sent."""
    name, *places = written[:200].split(" ")
    if len(places) > _MOST_PLACES or not all(place.isdecimal() for place in places):
        raise UserError(f"number={written[:60]!r} is none of this run: press one on the page")
    return name, [int(place) for place in places]


def _place(result: Result, name: str, places: Sequence[int]) -> str:
    """Return one place of a field, as Python."""
    values = getattr(result, name, None) if name in result.quantities() else None
    shape = np.shape(values) if isinstance(values, np.ndarray | int | float) else None
    if shape is None or len(shape) != len(places):
        raise UserError(f"number={name[:60]!r} is none of this run: press one on the page")
    for place, count in zip(places, shape, strict=True):
        if place >= count:
            raise UserError(f"index={place} is none of {name}: choose from 0 to {count - 1}")
    return f"result.{name}" + (f"[{', '.join(map(str, places))}]" if places else "")


def _filled(formula: Formula, places: Sequence[int]) -> str:
    asked = {part for _, part, _, _ in Formatter().parse(formula.expression) if part is not None}
    if len(asked) != len(places):
        raise UserError(f"{len(places)} indices were sent: {formula.title} takes {len(asked)}")
    return formula.expression.format(*places)


def _value(run: Run, expression: str, written: str) -> Any:
    """Return what a line of Python gives that was put together here."""
    names = {"__builtins__": BUILTINS, **KNOWN, "result": run.result, "run": run, "re": re}
    try:
        # A formula of ours with whole numbers in it; nothing else of the browser's is in the line.
        value = eval(expression, names)  # noqa: S307
    except (LookupError, ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise UserError(
            f"number={written[:60]!r} is none of this run: press one on the page"
        ) from error
    return value


def _definition(defined: Quantity, formula: Formula | None) -> dict[str, str]:
    found = {
        "title": defined.title,
        "meaning": defined.meaning,
        "formula": defined.formula,
        "axes": defined.axes,
        "unit": defined.unit,
        "paper": defined.source,
        "of": "",
    }
    if formula is not None:
        unit = defined.unit if formula.unit is None else formula.unit
        of = f"{defined.title}: {defined.meaning}" if defined.title else ""
        found |= {"title": formula.title, "meaning": formula.meaning, "of": of, "unit": unit}
    return found
