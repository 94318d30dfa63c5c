"""A notebook that computes a run again: the request, the call, its numbers, its figures."""

import math
import textwrap
from collections.abc import Sequence
from pprint import pformat
from typing import Any

import orjson

from tokenarium.backend.runs.kind import KINDS
from tokenarium.backend.runs.request import ModelRequest, Request
from tokenarium.backend.runs.run import Run

NBFORMAT = {"nbformat": 4, "nbformat_minor": 5}
OWN = "local/"
"""How the name of a model begins that lies in a models folder."""
MOST_COMPARED = 12
"""Single numbers of a stored run that stand beside those of the new one."""


def as_notebook(run: Run) -> str:
    """Return a notebook (nbformat 4.5, JSON) that asks for the same again and compares.

    Every field of the request is written out, so that a later release with other defaults asks the
    same. The last cells draw the run's first figure, where its kind has any.

    Args:
        run: as computed or opened.
    """
    asked = f"{asking(run)}\nrun = lab.run(request)\nrun"
    cells = [words(_title(run)), code(lab_lines([run.request])), code(asked)]
    if compared := _numbers(run):
        cells += [
            words("That run had these numbers; another processor rounds otherwise."),
            code(_comparing(compared)),
        ]
    if names := run.figures:
        cells += [
            words(f"Figures of this kind of run: {', '.join(f'`{name}`' for name in names)}."),
            code(f"run.figure({names[0]!r})"),
        ]
    return packed(cells)


def lab_lines(requests: Sequence[Request]) -> str:
    """Return the lines of Python that make ``lab`` for some requests.

    Models of a models folder are named, and the folder is left to whoever computes: where it lay
    on another machine says nothing.

    >>> print(lab_lines([TraceRequest(model="local/mine", text="Hi")]))  # doctest: +SKIP
    from tokenarium import Lab, Settings
    <BLANKLINE>
    # Name the folder in which 'mine' lies on this machine.
    lab = Lab(Settings(models_dir="models"))
    """
    used = {name for request in requests for name in _models_of(request)}
    own = sorted(repr(name.removeprefix(OWN)) for name in used if name.startswith(OWN))
    if not own:
        return "from tokenarium import Lab\n\nlab = Lab()"
    lies = "lies" if len(own) == 1 else "lie"
    return (
        "from tokenarium import Lab, Settings\n\n"
        f"# Name the folder in which {' and '.join(own)} {lies} on this machine.\n"
        'lab = Lab(Settings(models_dir="models"))'
    )


def _models_of(request: Request) -> tuple[str, ...]:
    if not isinstance(request, ModelRequest):
        return ()
    return (request.home, *request.beside, *request.tokenizers_read)


def packed(cells: Sequence[dict[str, Any]]) -> str:
    """Return cells as a notebook."""
    numbered = [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)]
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {"cells": numbered, "metadata": {"kernelspec": python}, **NBFORMAT}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2).decode()


def _title(run: Run) -> str:
    made = run.environment
    versions = [f"{n} {made[n]}" for n in ("torch", "transformers", "dtype", "device") if n in made]
    kind = KINDS.find(run.request.kind)
    return (
        f"# {kind.title}: {getattr(run.request, 'model', '')}\n\n"
        f"Run `{run.id}` of {run.created:%Y-%m-%d}, computed in {run.duration_ms:.0f} ms"
        f"{' by ' + ', '.join(versions) if versions else ''}. "
        "It needs the package `tokenarium` and, for a model that is not shipped, that model."
    )


def asking(run: Run) -> str:
    """Return the lines that ask ``lab`` for the same as a run, every field written out."""
    name = type(run.request).__name__
    values = run.request.model_dump(mode="json", exclude={"kind"})
    written = textwrap.indent(pformat(values, sort_dicts=False, width=88), "").strip()
    return (
        f"from tokenarium import {name}\n\nasked = {written}\n"
        f"request = lab.request({name}, **asked)"
    )


def _numbers(run: Run) -> dict[str, float]:
    """Return the first single numbers of the result, by name."""
    found = {
        name: value
        for name, value in run.result.facts().items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    return dict(list(found.items())[:MOST_COMPARED])


def _comparing(stored: dict[str, float]) -> str:
    return (
        f"stored = {pformat(stored, sort_dicts=False, width=88)}\n"
        "for name, value in stored.items():\n"
        '    print(f"{name}: {value:.6g} stored, {getattr(run.result, name):.6g} here")'
    )


def words(text: str) -> dict[str, Any]:
    """Return a cell of Markdown."""
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str) -> dict[str, Any]:
    """Return a cell of Python."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": text,
    }
