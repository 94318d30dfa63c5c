"""Every number of every figure opens, and its Python gives it again."""

import base64
import contextlib
import io
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

import tokenarium
from tests.ui.browser_stub import Visit
from tokenarium import figures
from tokenarium.backend import Lab
from tokenarium.ui.pages import find_pages
from tokenarium.ui.shell.section import MAIN
from tokenarium.ui.shell.selection import PLACES
from tokenarium.ui.why import drawn as why
from tokenarium.ui.why.slices import slice_of

PAGES = find_pages()
SLICES = {
    "grid": "sink_score", "sink_grid": "sink_score", "cache_kl": "kl_nats",
}  # fmt: skip
"""Figures that draw a field as it is."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
def test_every_array_of_every_figure_opens(
    lab: Lab, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)
    once(monkeypatch)
    seen, lines = 0, ""
    for section in (page, *(each for each in page.beside if each.kinds[0] not in page.kinds)):
        for example in lab.examples(section.kinds[0].kind)[:1]:
            visit = Visit(lab, page)
            visit.open(example.run_id, section.slug)
            for view in visit.page.tabs if section.slug == MAIN else ():
                visit.pick(view=view)
            for name, drawn in figures_of(visit).items():
                seen += 1
                for trace, key, values, step in arrays(drawn):
                    at = np.argwhere(np.isfinite(values))[-1].tolist()
                    told = opened(visit, name, [trace, key, *at], drawn)
                    assert "error" not in told, (name, told)
                    assert told["title"], name
                    assert told["meaning"], name
                    shown = float(values[tuple(at)])
                    assert float(told["value"]) == pytest.approx(shown, rel=1e-6, abs=step), name
                    if name in SLICES and key in "yz":
                        assert told["slice"].startswith(SLICES[name]), (name, told["slice"])
                    if "on_page" in told["python"] and not lines:
                        lines, value = told["python"], float(told["value"])
    assert seen
    if lines and page is PAGES[1]:  # to build a page's panels once more takes most of a second
        assert printed(lines) == pytest.approx(value)


def test_what_controls_say_is_drawn_again(lab: Lab) -> None:
    visit = Visit(lab, PAGES[0])
    visit.open("example-first-token", MAIN)
    [panel] = (p for p in visit.page.every_panel() if "grid" in p.parts)
    visit.values["grid_metric"] = "entropy"
    visit.take(visit.handlers.restyle(panel, visit.asker()))
    drawn = orjson.loads(visit.values["grid"])
    assert drawn["layout"]["meta"]["with"] == {"settings": {"grid_metric": "entropy"}}
    told = opened(visit, "grid", [0, "z", 2, 1], drawn)
    assert float(told["value"]) == pytest.approx(dict(grid(drawn))[2, 1], rel=1e-6)
    assert "attention_entropy_nats" in told["slice"] or "grid_metric" in told["python"]


def test_a_number_that_is_no_slice_is_of_the_figure_that_python_draws(lab: Lab) -> None:
    visit = Visit(lab, PAGES[0])
    visit.open("example-first-token", MAIN)
    visit.pick(view="sinks")
    drawn = orjson.loads(visit.values["sink_layers"])
    told = opened(visit, "sink_layers", [0, "x", 1], drawn)
    if "error" in told:
        told = opened(visit, "sink_layers", [0, "y", 1], drawn)
    assert told["slice"].startswith("figure.data[0].")
    again = figures.on_page(lab, "example-first-token", "sink_layers")
    key = told["slice"].split(".")[2][0]
    assert float(again.data[0][key][1]) == float(told["value"])


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"figure": "nothing", "at": [0, "z", 1, 1]}, {"figure": "grid", "at": [0, "z", 99, 1]},
        {"figure": "grid", "at": [9, "z", 1, 1]}, {"figure": "grid", "at": [0, "layout", 1]},
        {"figure": "grid", "at": [0, "z"]}, {"figure": "grid", "at": [0, "z", -1, 1]},
        {"figure": "grid", "at": [0, "z", True, 1]}, {"figure": "grid", "at": "0 z 1 1"},
        {"figure": "card", "at": [0, "z", 1, 1]}, {"figure": ["grid"], "at": [0, "z", 1, 1]},
        {"figure": "grid", "at": [0, "z", 1, 1], "told": {"runs": {"run": "nowhere"}}},
        {"figure": "grid", "at": [0, "z", 1, 1], "told": {}},
    ],
)  # fmt: skip
def test_what_no_figure_has_is_refused_in_words(lab: Lab, wrong: dict[str, Any]) -> None:
    visit = Visit(lab, PAGES[0])
    visit.open("example-first-token", MAIN)
    asked = {"told": visit.told, **wrong}
    assert set(visit.handlers.explain(None, asked)) == {"error"}


def test_a_slice_is_found_only_where_it_is_one(lab: Lab) -> None:
    result = lab.open("example-first-token").result
    scores = result.sink_score.astype(np.float64)
    found = slice_of(result, scores, (2, 1))
    assert found is not None
    assert found.written() == "sink_score 2 1"
    line = result.received_mass[1, 2].astype(np.float64)
    found = slice_of(result, line, (3,))
    assert found is not None
    assert found.written() == "received_mass 1 2 3"
    other = scores.copy()
    other[-1, -1] += 1e-6
    for drawn in (other, 100 * scores, np.full(len(scores), np.nan), np.zeros(3), scores[:1, :1]):
        assert slice_of(result, drawn, (0,) * drawn.ndim) is None


def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a panel draw once for all the numbers that are asked for in one place."""
    drawn: dict[Any, Any] = {}
    parts = why._parts

    def kept(panel: Any, scene: Any, zoom: Any) -> Any:
        of = (id(panel), scene.chosen, tuple(run.id for run in scene.runs), str(scene.settings))
        if of not in drawn:
            drawn[of] = parts(panel, scene, zoom), panel
        return drawn[of][0]

    monkeypatch.setattr(why, "_parts", kept)


def opened(visit: Visit, name: str, at: list[Any], drawn: dict[str, Any]) -> dict[str, str]:
    """Return what opens at a number, asked as the page's script does."""
    told = {name: visit.told.get(name) for name in (*PLACES, "view", "runs")}
    more = drawn["layout"].get("meta", {}).get("with")
    return visit.handlers.explain(None, {"figure": name, "at": at, "told": told, "with": more})


def figures_of(visit: Visit) -> dict[str, dict[str, Any]]:
    drawn = {n: v for n, v in visit.values.items() if isinstance(v, str) and v[:8] == '{"data":'}
    return {name: orjson.loads(text) for name, text in drawn.items()}


def arrays(drawn: dict[str, Any]) -> list[tuple[int, str, NDArray[np.float64], float]]:
    """Return the arrays of a figure that stand in its table, and how finely they are sent."""
    found = []
    steps = drawn["layout"].get("meta", {}).get("steps")
    for place, trace in enumerate(drawn["data"]):
        if trace.get("hoverinfo") == "skip":
            continue
        for key in "xyz":
            values = decoded(trace.get(key))
            if values is None or not np.isfinite(values).any():
                continue
            if key == "z" and steps:
                values = np.where(values > 0, steps["low"] + steps["step"] * (values - 1), np.nan)
            found.append((place, key, values, steps["step"] if key == "z" and steps else 0.0))
    return found


def decoded(given: Any) -> NDArray[np.float64] | None:
    """Return an array as Plotly's JSON has it; None of words."""
    if isinstance(given, dict):
        flat = np.frombuffer(base64.b64decode(given["bdata"]), given["dtype"])
        shape = [int(each) for each in given.get("shape", str(len(flat))).split(",")]
        return flat.reshape(shape).astype(np.float64)
    try:
        found = np.asarray(given, np.float64)
    except ValueError:
        return None
    return found if found.size and found.ndim else None


def grid(drawn: dict[str, Any]) -> list[tuple[tuple[int, int], float]]:
    [(_, _, values, _)] = [each for each in arrays(drawn) if each[:2] == (0, "z")]
    return [((row, column), float(value)) for (row, column), value in np.ndenumerate(values)]


def printed(lines: str) -> float:
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        exec(lines, {})
    return float(heard.getvalue())
