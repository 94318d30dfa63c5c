"""What opens at a number of a figure that a run, or runs beside each other, draw by its name."""

from functools import partial
from typing import Any

from tokenarium.backend import Lab, Run, UserError
from tokenarium.ui.why.drawn import BETWEEN, Asked, defined, number_in
from tokenarium.ui.why.explain import note, of_result, python
from tokenarium.ui.why.number import FIGURE
from tokenarium.ui.why.slices import slice_of

MOST_RUNS = 6


def explained_named(lab: Lab, of: str, written: str) -> dict[str, str]:
    """Return what a number of a figure is, with the same parts as ``explain.explained``.

    Args:
        lab: that has the runs; a visitor opens them as by their link.
        of: as ``number.of_figure`` returned it.
        written: ``figure_y 0 3``: the array, the trace, and the place in its array.

    Raises:
        UserError: if there is no such run, figure or number.
    """
    name, _, rest = of.removeprefix(FIGURE).partition(":")
    told, _, measure = rest.partition(":")
    ids = told.split(BETWEEN)
    asked = _asked(name, written)
    if len(ids) > MOST_RUNS:
        raise UserError(f"{len(ids)} runs: at most {MOST_RUNS} stand beside each other")
    runs = [lab.open(each) for each in ids]
    chosen = {"measure": measure} if measure else {}
    source: Any = runs[0] if len(ids) == 1 else lab.compare(ids)
    figure = source.figure(name, **chosen)
    array, number = number_in(figure, asked)
    noted = next(filter(None, (note(lab, run) for run in runs)), "")
    for run in runs if asked.key != "x" else ():
        if (place := slice_of(run.result, array, asked.at)) is not None:
            found = of_result(run, place.written(), partial(python, run.id))
            return {**found, "note": noted}
    label = str(figure.layout.meta["label"])
    return {
        **defined(figure, asked, runs[0], (label, "")),
        "slice": asked.written(),
        "value": str(number),
        "python": _lines(runs, asked, chosen),
        "note": noted,
    }


def _asked(name: str, written: str) -> Asked:
    """Return the number that a browser asks for, every part checked."""
    kind, *places = written[:200].split(" ")
    whole = [int(place) for place in places if place.isdecimal()]
    known = len(whole) == len(places) > 1 and kind.startswith("figure_")
    at = [whole[0], kind.removeprefix("figure_"), *whole[1:]] if known else None
    return Asked.read({"figure": name, "at": at})


def _lines(runs: list[Run], asked: Asked, chosen: dict[str, str]) -> str:
    given = "".join(f", {name}={value!r}" for name, value in chosen.items())
    ids = [run.id for run in runs]
    source = f"open({ids[0]!r})" if len(ids) == 1 else f"compare({ids!r})"
    return "\n".join(
        (
            "from tokenarium import Lab",
            "",
            f"figure = Lab().{source}.figure({asked.figure!r}{given})",
            f"print(float({asked.written()}))",
        )
    )
