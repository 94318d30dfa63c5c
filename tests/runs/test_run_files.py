"""What a run gives by itself: a line, tables, a notebook that computes it again, files."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import tokenarium
from tests.runs.conftest import MODEL
from tests.runs.test_kinds import REQUESTS, TEXT
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.run import Run
from tokenarium.backend.trace.request import TraceRequest

TRACE = TraceRequest(model=MODEL, text=TEXT, tiles=4, seed=3)


@pytest.fixture
def run(lab: Lab) -> Run:
    return lab.run(TRACE)


def executed(notebook: str, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the cells of a notebook in one namespace, with ``lab`` in place of the usual one."""
    monkeypatch.setattr(tokenarium, "Lab", lambda settings=None: lab, raising=False)
    content = json.loads(notebook)
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    space: dict[str, Any] = {}
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            exec(compile(cell["source"], cell["id"], "exec"), space)
    return space


@pytest.mark.parametrize("request_", [TRACE, *REQUESTS], ids=lambda request: request.kind)
def test_a_notebook_asks_for_the_same_run(
    lab: Lab,
    request_: ModelRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = lab.run(request_)
    space = executed(run.notebook(), lab, monkeypatch)
    assert space["request"] == request_
    assert space["run"].id == run.id
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{name}: {value:.6g} stored, {getattr(run.result, name):.6g} here"
        for name, value in space.get("stored", {}).items()
    ]


def test_a_notebook_of_a_models_folder_computes_where_that_is_named(
    run: Run, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.request.model == MODEL == "local/tiny"
    source = "\n\n".join(
        cell["source"]
        for cell in json.loads(run.notebook())["cells"]
        if cell["cell_type"] == "code" and "figure" not in cell["source"]
    )
    assert "folder in which 'tiny' lies" in source
    named = source.replace('"models"', repr(str(models_dir)))
    monkeypatch.setenv("TOKENARIUM_DATABASE", "duckdb:///:memory:")
    space: dict[str, Any] = {}
    exec(compile(named, "notebook", "exec"), space)
    try:
        assert not space["run"].cached
        np.testing.assert_array_equal(space["run"].result.surprisal_nats, run.result.surprisal_nats)
    finally:
        space["lab"].close()


def test_a_run_is_one_line(run: Run) -> None:
    assert repr(run) == (
        f"<Run {run.id}: trace of {MODEL}, {len(run.result.token_ids)} tokens, "
        f"{run.duration_ms:.0f} ms>"
    )


def test_a_table_is_the_numbers_of_the_result(run: Run) -> None:
    assert {"token", "layer_head", "layer_head_token"} <= set(run.tables)
    found = run.table("token").column("surprisal_nats").to_numpy()
    np.testing.assert_array_equal(found, run.result.surprisal_nats)
    with pytest.raises(UserError, match=r"choose .*layer_head"):
        run.table("tokens")


def test_a_run_is_saved_by_the_ending_of_the_path(run: Run, tmp_path: Path) -> None:
    whole = json.loads(run.save(tmp_path / "run.json").read_text("utf-8"))
    assert set(whole["values"]) == set(whole["definitions"])
    assert whole["left_out"] == {}
    assert json.loads(run.save(tmp_path / "run.ipynb").read_text("utf-8"))["cells"]
    packed = run.save(str(tmp_path / "tables.zip"), format="parquet")
    with zipfile.ZipFile(packed) as file:
        rows = pyarrow.parquet.read_table(io.BytesIO(file.read("layer_head.parquet")))
    np.testing.assert_array_equal(
        rows.column("sink_score").to_numpy(), run.result.sink_score.ravel()
    )
    with pytest.raises(UserError, match="format='bmp' is unknown: choose"):
        run.save(tmp_path / "run.bmp")


def test_a_notebook_is_exported_of_a_stored_run(lab: Lab, run: Run) -> None:
    assert lab.export(run.id, "ipynb") == run.notebook()
