"""What opens at a number of a figure: the slice of the run that it is, or the figure drawn again.

A figure is drawn by a panel from runs, what is chosen and what its controls say. With these it is
drawn again; if the array that holds the number is a slice of the run's result, the number opens as
that place of that field, else as a place of the figure, with the definition of its axis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from plotly.graph_objects import Figure

from tokenarium.backend import Lab, Run, UserError
from tokenarium.ui.shell.panel import AnyScene, Panel, Scene
from tokenarium.ui.shell.section import RunPage, Section
from tokenarium.ui.shell.selection import PLACES, Selection
from tokenarium.ui.text import one_line
from tokenarium.ui.why.explain import note, of_result, python
from tokenarium.ui.why.slices import slice_of

BETWEEN = "."
"""Stands between the runs of one section, as in an address."""
KEYS = ("x", "y", "z")
GONE = "this figure is drawn otherwise by now: press one of the numbers that it has"


@dataclass(frozen=True)
class Asked:
    """A number of a figure, as a browser asks for it, every value checked."""

    figure: str
    """The name of the part that holds it."""
    trace: int
    key: str
    """Which of the trace's arrays: ``x``, ``y`` or ``z``."""
    at: tuple[int, ...]
    told: Selection
    """What is chosen on the page, and which runs it shows."""
    settings: Mapping[str, Any]
    """What the panel's controls say, where that is not what they begin with."""
    zoom: Mapping[str, Any] | None

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Self:
        """Return what was asked.

        Raises:
            UserError: if that is no number of a figure.
        """
        figure, at, more = value.get("figure"), value.get("at"), value.get("with")
        more = more if isinstance(more, dict) else {}
        zoom, settings = more.get("zoom"), more.get("settings")
        whole = [each for each in at[2:] if type(each) is int] if isinstance(at, list) else []
        if not (
            isinstance(figure, str)
            and isinstance(at, list)
            and len(at) - 2 == len(whole) in (1, 2)
            and min(whole) >= 0
            and type(at[0]) is int
            and at[0] >= 0
            and at[1] in KEYS
        ):
            raise UserError("this is no number of a figure: press one on the page")
        return cls(
            figure,
            at[0],
            at[1],
            tuple(whole),
            Selection.read(value.get("told")),
            settings if isinstance(settings, dict) else {},
            zoom if isinstance(zoom, dict) else None,
        )

    def written(self) -> str:
        """Return it as Python, of ``figure``."""
        return f"figure.data[{self.trace}].{self.key}" + "".join(f"[{at}]" for at in self.at)


@dataclass(frozen=True)
class _Redrawn(Scene[Any, Any]):
    """A scene in which panels return figures as they are."""

    def drawn(self, figure: Figure | None) -> Any:
        return figure


def explained_figure(lab: Lab, page: RunPage, value: Mapping[str, Any]) -> dict[str, str]:
    """Return what a number of a figure is, with the parts of ``explain.explained``.

    Args:
        lab: that has the runs; a visitor opens them as by their link.
        page: that was built.
        value: ``figure``, ``at``, ``told`` and ``with``, as the browser sends them.

    Raises:
        UserError: if there is no such figure or number.
    """
    asked = Asked.read(value)
    section, panel = _panel(page, asked.figure)
    ids = asked.told.runs.get(section.slug)
    if ids is None:
        raise UserError("no finished run is shown: its numbers are explained once it is stored")
    runs = [lab.open(each) for each in ids.split(BETWEEN)]
    scene = _scene(section, runs, asked.told, asked.settings)
    figure = _drawn(panel, scene, asked.figure, asked.zoom)
    array, number = number_in(figure, asked)
    if len(runs) == 1 and (place := slice_of(runs[0].result, array, asked.at)) is not None:
        found = of_result(runs[0], place.written(), lambda line: python(runs[0].id, line))
        return {**found, "note": note(lab, runs[0])}
    return {
        **defined(figure, asked, runs[0], panel.told.get(asked.figure, ("", ""))),
        "slice": asked.written(),
        "value": str(number),
        "python": _lines(ids, asked, panel, scene),
        "note": note(lab, runs[0]),
    }


def on_page(
    lab: Lab,
    ids: str,
    name: str,
    settings: Mapping[str, Any] | None = None,
    zoom: Mapping[str, Any] | None = None,
    **place: Any,
) -> Figure:
    """Return a figure as a page draws it.

    Args:
        lab: that has the runs.
        ids: of the run; of several beside each other, such as those of a race, with a dot between.
        name: of the figure on the page, as it stands after ``plot-`` in the element's id.
        settings: what the panel's controls say, by name; as they begin where they are not named.
        zoom: the rectangle of a map that is drawn finer: ``queries`` and ``keys``, from and to.
        place: what is chosen: ``token``, ``query``, ``layer``, ``head``, ``step``, ``policy``.

    Raises:
        UserError: if there is no such run or figure.
    """
    import gradio as gr

    from tokenarium.ui.pages import find_pages

    runs = [lab.open(each) for each in ids.split(BETWEEN)]
    told = Selection.read({**place, "run": ids})
    for page in find_pages():
        made = page(lab)
        for section in made.sections.values():
            if type(runs[0].request) not in section.kinds:
                continue
            views = [*made.at_side, *made.tabs.values()] if section is made else []
            for panel in (*section.shown, *views):
                with gr.Blocks():
                    panel.build()
                if name in panel.parts:
                    return _drawn(panel, _scene(section, runs, told, settings or {}), name, zoom)
    raise UserError(f"figure={name[:60]!r} is none of a {runs[0].request.kind} run's pages")


def _panel(page: RunPage, name: str) -> tuple[Section, Panel]:
    for section in page.sections.values():
        views = [*page.at_side, *page.tabs.values()] if section is page else []
        for panel in (*section.shown, *views):
            if name in panel.parts:
                return section, panel
    raise UserError(f"figure={name[:60]!r} is none of this page: press a number of one that is")


def _scene(
    section: Section, runs: Sequence[Run], told: Selection, settings: Mapping[str, Any]
) -> _Redrawn:
    first = runs[0]
    if type(first.request) not in section.kinds:
        raise UserError(f"run={first.id} is a {first.request.kind}: open it on its own page")
    place = section.place(replace(told, run=first.id), first.result)
    return _Redrawn(first.result, first.request, place, settings, "", None, tuple(runs))


def _drawn(panel: Panel, scene: AnyScene, name: str, zoom: Mapping[str, Any] | None) -> Figure:
    figure = _parts(panel, scene, zoom).get(name)
    if not isinstance(figure, Figure):
        raise UserError(GONE)
    return figure


def _parts(panel: Panel, scene: AnyScene, zoom: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return panel.draw(scene) if zoom is None else panel.zoom(scene, dict(zoom))


def number_in(figure: Figure, asked: Asked) -> tuple[Any, float]:
    """Return the array that holds the number, and the number.

    Raises:
        UserError: if the figure has no such number.
    """
    try:
        array = np.asarray(getattr(figure.data[asked.trace], asked.key), np.float64)
        return array, float(array[asked.at])
    except (IndexError, AttributeError, TypeError, ValueError) as error:
        raise UserError(GONE) from error


def defined(figure: Figure, asked: Asked, run: Run, said: tuple[str, str]) -> dict[str, str]:
    """Return what the figure says of a number: its axis, and the quantity that is named so."""
    title, explanation = said
    axis = one_line(_axis(figure, asked)) or title
    known = run.result.quantities().values()
    same = next((each for each in known if each.title and each.title in axis.lower()), None)
    trace = getattr(figure.data[asked.trace], "name", None)
    return {
        "title": axis if not trace or trace in axis else f"{axis}: {trace}",
        "meaning": f"In the figure “{title}”. {explanation}".strip(),
        "of": "" if same is None else f"{same.title}: {same.meaning}",
        "formula": "" if same is None else same.formula,
        "axes": "",
        "unit": "",
        "paper": "" if same is None else same.source,
    }


def _axis(figure: Figure, asked: Asked) -> str:
    """Return the title of the axis, or of the colours, that the number is drawn by."""
    trace, layout = figure.data[asked.trace], figure.layout
    if asked.key == "z":
        shared = getattr(trace, "coloraxis", None)
        bar = layout[shared].colorbar if shared else trace.colorbar
        return bar.title.text or ""
    name = getattr(trace, f"{asked.key}axis", None) or asked.key
    return layout[f"{asked.key}axis{name[1:]}"].title.text or ""


def _lines(ids: str, asked: Asked, panel: Panel, scene: AnyScene) -> str:
    chosen = {name: getattr(scene.chosen, name) for name in PLACES if name in panel.uses}
    told = {name: value for name, value in chosen.items() if value is not None}
    if asked.settings:
        told["settings"] = dict(asked.settings)
    if asked.zoom:
        told["zoom"] = dict(asked.zoom)
    given = "".join(f", {name}={value!r}" for name, value in told.items())
    return "\n".join(
        (
            "from tokenarium import Lab, figures",
            "",
            f'figure = figures.on_page(Lab(), "{ids}", "{asked.figure}"{given})',
            f"print(float({asked.written()}))",
        )
    )
