"""The Explore page: what an address, a click and a rectangle open."""

import json
from typing import Any

import pytest

from tests.ui.browser_stub import Visit
from tests.ui.conftest import Reader
from tests.ui.explore_visit import PARTS, explore, read, running, until_part
from tests.ui.test_sentence import words
from tokenarium.backend import Lab
from tokenarium.ui.pages.explore import Explore
from tokenarium.ui.shell.panel import Values

__all__ = ["explore"]


def test_another_run_is_opened_whole(explore: Visit) -> None:
    first = read(explore, "first text")["selection"]["run"]
    read(explore, "second")
    found = explore.pick(run=first, runs={"run": first}, token=2, reply=7)
    assert set(found) >= PARTS
    assert found["text"] == "first text"
    assert (found["selection"]["token"], found["selection"]["reply"]) == (2, 7)
    assert found["drawn"]["runs"] == first


def test_no_run_in_the_address_is_the_example_again(explore: Visit) -> None:
    read(explore)
    found = explore.pick(run=None, runs={})
    assert found["selection"]["run"] == found["selection"]["example"]
    assert found["text"] == explore.handlers.lab.examples("trace")[0].request.text


def test_a_run_that_is_gone_is_said(explore: Visit) -> None:
    read(explore)
    found = explore.pick(run="nowhere", runs={"run": "nowhere"})
    assert "nowhere" in found["status"]
    assert not PARTS & found.keys()


@pytest.mark.parametrize("value", [{"run": 3}, {"token": "1"}, {"runs": "x"}, {"runs": [1]}])
def test_nonsense_from_a_browser_is_left_out(explore: Visit, value: dict[str, Any]) -> None:
    shown = explore.handlers.pick(explore.asker(**value))
    assert "Traceback" not in str(shown.get("status", ""))
    assert "selection" not in shown or shown["selection"]["example"]


def test_a_part_can_be_explored_while_it_lasts_and_once_it_was_stopped(
    explore: Visit, reader: Reader
) -> None:
    reader.gate.clear()
    steps = running(explore, "piece")
    until_part(explore, steps)
    assert "token 2 of 5" in words(explore.pick(token=2)["card"])
    explore.cancel()
    explore.every(steps)
    assert explore.messages[-1]["why"] == "stop"
    assert "token 3 of 5" in words(explore.pick(token=3)["card"])


def test_the_address_opens_run_and_selection(explore: Visit, lab: Lab) -> None:
    run = read(explore)["selection"]["run"]
    again = Visit(lab, Explore)
    again.boot(f"run={run}&token=3&layer=0&head=1&query=4")
    place = again.values["drawn"]["place"]
    chosen = tuple(place[name] for name in ("run", "token", "query", "layer", "head"))
    assert chosen == (run, 3, 4, 0, 1)


def test_the_address_opens_a_view_of_the_example(explore: Visit) -> None:
    (found,) = explore.boot("view=sinks")
    assert found.keys() == {"views", "selection"}
    assert found["views"].selected == "sinks"


@pytest.mark.parametrize("token", ["-1", "1e3", "٣", "9" * 30, "<b>", ""])
def test_a_bad_number_in_the_address_is_left_out(explore: Visit, token: str) -> None:
    run = read(explore)["selection"]["run"]
    explore.boot(f"run={run}&token={token}")
    assert explore.values["drawn"]["place"]["token"] == 0


def test_a_bad_run_in_the_address_is_said(explore: Visit) -> None:
    explore.boot("run=<script>")
    assert 'role="alert"' in explore.status()
    assert "<script>" not in explore.status()


def zoomed(explore: Visit, zoom: object) -> Values:
    return explore.handlers.zoom(zoom, explore.asker())


def test_a_rectangle_of_a_long_text_is_read_in_finer_tiles(explore: Visit, reader: Reader) -> None:
    read(explore, "x" * 130)
    explore.pick(layer=0, head=3)
    found = zoomed(explore, {"queries": [40, 90], "keys": [10, 30]})
    asked = reader.regions[0]
    assert (asked.layer, asked.head) == (0, 3)
    assert (asked.query_start, asked.query_stop) == (40, 90)
    assert (asked.key_start, asked.key_stop) == (10, 30)
    figure = json.loads(found["map"])
    assert figure["layout"]["xaxis"]["range"] == [9.5, 29.5]
    assert figure["layout"]["yaxis"]["range"] == [89.5, 39.5]


def test_zooming_out_shows_the_whole_map(explore: Visit, reader: Reader) -> None:
    read(explore, "x" * 130)
    found = zoomed(explore, {"reset": True})
    assert json.loads(found["map"])["layout"]["xaxis"]["range"] == [-0.5, 129.5]
    assert reader.regions == []


def test_a_short_text_has_nothing_finer(explore: Visit, reader: Reader) -> None:
    read(explore)
    assert zoomed(explore, {"queries": [0, 3], "keys": [0, 3]}) == {}
    assert reader.regions == []


@pytest.mark.parametrize(
    "zoom",
    [
        {"queries": [90, 40], "keys": [-5, 1e9]},
        {"queries": "x", "keys": None},
        {"queries": [float("nan"), float("inf")], "keys": [True, "3"]},
        {"queries": [1, 2, 3], "keys": [[1], {}]},
        {},
    ],
)
def test_any_rectangle_stays_inside_the_text(
    explore: Visit, reader: Reader, zoom: dict[str, Any]
) -> None:
    read(explore, repr(zoom).ljust(130))
    zoomed(explore, zoom)
    asked = reader.regions[0]
    assert 0 <= asked.query_start < asked.query_stop <= 130
    assert 0 <= asked.key_start < asked.key_stop <= 130


@pytest.mark.parametrize("zoom", [None, "x", 3, [1]])
def test_a_zoom_without_a_rectangle_changes_nothing(explore: Visit, zoom: object) -> None:
    assert zoomed(explore, zoom) == {}
