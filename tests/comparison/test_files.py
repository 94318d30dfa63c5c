"""A comparison as files: each has its numbers, and the notebook gives it again."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from tests.labs import shipped_lab
from tests.runs.test_run_files import executed
from tests.ui.test_offline import carried
from tokenarium.backend import Lab, RunComparison, UserError
from tokenarium.ui.compare.answer import shown
from tokenarium.ui.shell.saving import compared, saved

BESIDE = ["example-one-wrong-word", "example-said-twice"]
RACE = ["example-said-before", "example-half-a-model"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="module")
def found(lab: Lab) -> RunComparison:
    return lab.compare(BESIDE)


def test_the_notebook_computes_the_runs_and_finds_the_same_difference(
    lab: Lab, found: RunComparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = executed(found.notebook(), lab, monkeypatch)
    assert [run.request for run in space["runs"]] == [run.request for run in found.runs]
    again = space["comparison"]
    assert again.largest() == found.largest()
    np.testing.assert_array_equal(again.difference(), found.difference())


def test_numbers_and_tables_are_those_of_the_comparison(
    found: RunComparison, tmp_path: Path
) -> None:
    told = json.loads(found.save(tmp_path / "two.json").read_text("utf-8"))
    assert [run["id"] for run in told["runs"]] == BESIDE
    for name, measure in found.measures.items():
        for key, wanted in (("values", measure.values), ("difference", found.difference(name))):
            read = np.array(told["measures"][name][key], float)
            np.testing.assert_array_equal(read, wanted, err_msg=f"{name} {key}")
    assert set(told["heads"]) == set(found.heads)
    packed = found.save(tmp_path / "two.zip", format="parquet")
    with zipfile.ZipFile(packed) as file:
        assert sorted(file.namelist()) == sorted(f"{name}.parquet" for name in found.tables)
        for name in found.tables:
            read = pyarrow.parquet.read_table(io.BytesIO(file.read(f"{name}.parquet")))
            assert read.schema.equals(found.table(name).schema)
            assert repr(read.to_pydict()) == repr(found.table(name).to_pydict())
    marks = found.save(tmp_path / "d.csv", figure="differences", measure="entropy_nats")
    assert "difference (nats)" in marks.read_text("utf-8").partition("\n")[0]
    with pytest.raises(UserError, match="saves it as csv"):
        found.save(tmp_path / "d.svg", figure="differences")
    with pytest.raises(UserError, match="format='bmp' is unknown: choose html"):
        found.save(tmp_path / "two.bmp")


def test_the_page_has_every_measure_as_it_is_shown(found: RunComparison) -> None:
    [part] = carried(found.html())["parts"]
    value = part["value"]
    assert "data-why" not in json.dumps(value)
    assert 'href="' not in json.dumps(value)
    for name in found.measures:
        wanted = shown(found, name)
        made = changed(value["first"], value["places"][name])
        assert [made[key] for key in ("measure", "values", "differences", "figures")] == [
            wanted[key] for key in ("measure", "values", "differences", "figures")
        ]
    for name in found.heads:
        made = changed(value["first"], value["heads"][name])
        assert made["heads"] == json.loads(json.dumps(shown(found, None, name)["heads"]))


def changed(first: Any, changes: list[Any]) -> Any:
    """Return a value with what is different, as the browser makes it."""
    made = json.loads(json.dumps(first))
    for path, value in changes:
        at = made
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value
    return made


def test_a_race_is_saved_as_one_page_one_notebook_and_tables(lab: Lab) -> None:
    page = saved(lab, {}, RACE, "run.html")
    parts = {part["name"]: part["value"] for part in carried(page["text"])["parts"]}
    lanes = json.loads(parts["race"])["lanes"]
    assert [lane["title"] for lane in lanes] == ["Prompt lookup", "Early exit", "Plain decoding"]
    assert all(len(lane["texts"]) == sum(lane["counts"]) for lane in lanes)
    assert "compare" in parts
    notebook = json.loads(saved(lab, {}, RACE, "run.ipynb")["text"])
    source = "".join(cell["source"] for cell in notebook["cells"])
    assert source.count("request = lab.request(SpeculateRequest") == len(RACE)
    assert "lab.compare(" in source
    tables = base64.b64decode(saved(lab, {}, RACE, "tables.csv")["base64"])
    with zipfile.ZipFile(io.BytesIO(tables)) as file:
        assert sorted(file.namelist()) == ["lane.csv", "place.csv"]
    whole = base64.b64decode(saved(lab, {}, RACE, "everything.json")["base64"])
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        assert [json.loads(file.read(name))["id"] for name in file.namelist()] == RACE


@pytest.mark.parametrize(
    ("ids", "name", "words"),
    [
        (BESIDE, "x.pdf", "none of a comparison: choose run.json"),
        (BESIDE[:1], "run.html", "give 2 to 6"),
        ([BESIDE[0], "nowhere"], "run.html", "nowhere"),
        ([BESIDE[0], RACE[0]], "run.ipynb", "compare runs of one kind"),
    ],
)
def test_what_cannot_be_saved_is_said(lab: Lab, ids: list[str], name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        compared(lab, ids, name)
