"""Branches of one prompt: every lane of its stored runs once, named and pruned in the store."""

from collections.abc import Iterator

import orjson
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import DecodeRequest, Lab, Run, fork
from tokenarium.ui.panels.decode.roads import Roads
from tokenarium.ui.shell.panel import Scene
from tokenarium.ui.shell.selection import Chosen


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


def drawn(lab: Lab, run: Run, visitor: str = "me") -> dict[str, list[dict[str, object]]]:
    scene = Scene(run.result, run.request, Chosen(run.id), visitor=visitor, runs=(run,))
    found: dict[str, list[dict[str, object]]] = orjson.loads(Roads(lab).draw(scene)["roads"])
    return found


def test_roads_are_the_lanes_of_every_run_of_the_prompt(lab: Lab) -> None:
    asked = DecodeRequest(model="bundled/draft", text="The dog", max_new_tokens=6)
    run = lab.run(asked)
    branch = lab.run(fork(run, 2, 3))
    on = lab.run(fork(run, 5))
    lab.run(asked.model_copy(update={"text": "A cat"}))
    roads = drawn(lab, branch)["roads"]
    assert [road["run"] for road in roads] == [branch.id, on.id, run.id]
    assert [road["given"] for road in roads] == [3, 6, 0]
    assert roads[0]["ids"] == branch.result.lanes[0].token_ids.tolist()  # type: ignore[attr-defined]
    assert roads[0]["on"] == f"{branch.id}.5"
    assert roads[1]["ids"][:6] == roads[2]["ids"]  # type: ignore[index]
    assert len(drawn(lab, branch, visitor="")["roads"]) == 1
    panel = Roads(lab)
    assert panel.change({"run": run.id, "name": "first"}) == {"name": "first"}
    assert panel.change({"run": run.id, "pruned": True}) == {"pruned": True}
    [*_, last] = drawn(lab, branch)["roads"]
    assert (last["name"], last["pruned"]) == ("first", True)
    assert not drawn(lab, run)["roads"][0]["pruned"]
    assert panel.change({"run": run.id, "pruned": False}) == {"pruned": False}
    assert "nobody" in panel.change({"run": "nobody", "pruned": True})["refused"]
