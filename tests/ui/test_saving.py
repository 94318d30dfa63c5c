"""What the menu *Save* gives is what the run has, in every kind of run."""

import base64
import io
import json
import zipfile
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.contracts.test_endpoints import ASKED, DRAFT, KINDS
from tests.labs import shipped_lab
from tokenarium.backend import Kind, Lab, Run, UserError
from tokenarium.ui.shell.saving import saved


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


def content(lab: Lab, run: Run, name: str) -> bytes:
    told = saved(lab, {}, [run.id], name)
    return told["text"].encode() if "text" in told else base64.b64decode(told["base64"])


def same(one: pa.Table, other: pa.Table) -> bool:
    """Return whether tables are equal, what has no number being equal to itself."""
    return one.schema.equals(other.schema) and repr(one.to_pydict()) == repr(other.to_pydict())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.endpoint)
def test_every_file_of_every_kind_has_the_numbers_of_the_run(lab: Lab, kind: Kind) -> None:
    run = lab.run(lab.request(kind.request, **ASKED[kind.endpoint], model=DRAFT))
    whole = json.loads(content(lab, run, "everything.json"))
    assert (whole["id"], whole["left_out"]) == (run.id, {})
    for name, array in run.result.arrays().items():
        if array.dtype.kind == "f":
            told = np.array(whole["values"][name], array.dtype).reshape(array.shape)
            np.testing.assert_array_equal(told, array, err_msg=name)
    assert set(json.loads(content(lab, run, "run.json"))["values"]) <= set(whole["values"])
    with zipfile.ZipFile(io.BytesIO(content(lab, run, "tables.parquet"))) as file:
        assert sorted(file.namelist()) == sorted(f"{name}.parquet" for name in run.tables)
        for name in run.tables:
            read = pyarrow.parquet.read_table(io.BytesIO(file.read(f"{name}.parquet")))
            assert same(read, run.table(name)), name
    with zipfile.ZipFile(io.BytesIO(content(lab, run, "tables.csv"))) as file:
        for name in run.tables:
            read = pyarrow.csv.read_csv(io.BytesIO(file.read(f"{name}.csv")))
            assert read.column_names == run.table(name).column_names
            assert read.num_rows == run.table(name).num_rows
    assert json.loads(content(lab, run, "run.ipynb"))["nbformat"] == 4
    assert content(lab, run, "run.html").decode() == lab.open(run.id).html()


def test_a_single_table_is_no_zip(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab.open(lab.examples("trace")[0].run_id)
    monkeypatch.setattr(Run, "tables", ("token",))
    told = saved(lab, {}, [run.id], "tables.parquet")
    assert told["name"] == f"tokenarium-{run.id}-token.parquet"
    read = pyarrow.parquet.read_table(io.BytesIO(base64.b64decode(told["base64"])))
    assert same(read, run.table("token"))


def test_what_there_is_not_is_refused_with_what_there_is(lab: Lab) -> None:
    run_id = lab.examples("trace")[0].run_id
    with pytest.raises(UserError, match=r"file='x\.pdf' is none of this run: choose run\.json"):
        saved(lab, {}, [run_id], "x.pdf")
