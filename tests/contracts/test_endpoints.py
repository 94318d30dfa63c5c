"""Every kind of run is answered by endpoint, MCP tool, command and files, from its declaration."""

import asyncio
import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from tests.labs import shipped_store
from tokenarium.backend import Kind, Lab, Settings, cli
from tokenarium.ui.api import endpoint, expose

DRAFT = "bundled/draft"
TEXT = "Once upon a time there was a little girl who lived near the woods."
HEAD = {"text": TEXT, "layer": 1, "head": 0}
SWEEP = {
    "prompts": [TEXT],
    "policies": ["recent"],
    "budgets": [0.5],
    "depths": [0.5],
    "trials": 1,
    "max_new_tokens": 2,
}
ASKED: dict[str, dict[str, Any]] = {
    "trace": {"text": TEXT, "tiles": 8},
    "region": {**HEAD, "query_start": 0, "query_stop": 8, "key_start": 0, "key_stop": 8},
    "probe": {"period": 8, "repeats": 2},
    "heartbeat": HEAD,
    "follow": {**HEAD, "token": 3},
    "lens": {"text": TEXT, "rows": [1, 2], "layers": [0, 3]},
    "judge": {"text": TEXT, "measures": ["min_k", "repetition"]},
    "intervene": {"text": TEXT, "intervention": "drop_first"},
    "cache": {"text": TEXT, "policies": ["recent", "h2o"], "budget": 6, "max_new_tokens": 3},
    "sweep": SWEEP,
    "point": SWEEP,
    "tokenize": {
        "text": TEXT,
        "tokenizers": [DRAFT],
        "segmenters": ["native", "fewest", {"slug": "stochastok", "parameters": {"share": 0.5}}],
    },
    "characters": {"words": ["strawberry", "letter"], "shots": 1},
    "new_tokens": {"text": f"{TEXT} Seaweed!", "most": 2, "initialisers": ["random_row"]},
    "next_byte": {"prefix": "Once upon a ti"},
    "audit": {"text": TEXT, "token_ids": [5, 6, 7], "sampling": {"temperature": 1}},
    "logprobs": {
        "content": '{"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": [-1.5], '
        '"top_logprobs": [{"a": -1.5, "b": -0.5}]}}]}'
    },
    "import": {"content": '{"token_ids": [5], "rounds": [{"drafted": 2, "accepted": 1}]}'},
    "speculate": {"text": TEXT, "drafter": "prompt_lookup", "max_new_tokens": 4},
    "decode": {"text": TEXT, "strategies": ["beam"], "max_new_tokens": 4},
    "attribute": {"text": TEXT, "unit": "token"},
    "patch": {"text": f"{TEXT} She", "other": f"{TEXT.replace('girl', 'boy')} He"},
    "ablate": {"text": TEXT, "ablation": "resample", "draws": 2},
    "reduce": {"reduction": "cats", "tokens": 16},
    "edit": {"text": TEXT, "edits": [[3, 4, " green"]], "max_new_tokens": 3},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    place = tmp_path_factory.mktemp("store") / "runs.duckdb"
    with Lab(Settings(database=f"duckdb:///{place}", device="cpu", hosted=False)) as lab:
        yield lab


KINDS = [kind for kind in Lab.kinds() if kind.result.startswith("tokenarium.backend.")]


def test_every_kind_is_asked_for_here() -> None:
    assert {kind.endpoint for kind in KINDS} == set(ASKED)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.endpoint)
def test_every_kind_is_answered_by_endpoint_and_files(
    kind: Kind, lab: Lab, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    events = list(endpoint(lab, kind)(**ASKED[kind.endpoint], model=DRAFT, request=None))
    assert [event["event"] for event in events].count("finished") == 1
    run = events[-1]["run"]
    assert run["kind"] == kind.slug
    assert set(run["values"]) == set(run["definitions"])
    assert set(run["values"]) | set(run["left_out"]) == set(kind.result_class.quantities())
    result = lab.open(run["id"]).result
    whole = json.loads(lab.export(run["id"]))
    assert whole["left_out"] == run["left_out"]
    for name, value in run["values"].items():
        assert value == whole["values"][name]
    tables = _tables(lab.export(run["id"], "parquet"))
    assert {name: table.column_names for name, table in tables.items()} == _columns(
        lab.export(run["id"], "csv")
    )
    for name, array in result.arrays().items():
        if array.dtype.names is None and array.ndim:
            assert any(_holds(table, name, array) for table in tables.values()), name
    # The command finds the stored run: equal requests have one key, however they were asked.
    request = lab.request(kind.request, **ASKED[kind.endpoint], model=DRAFT)
    assert lab.run(request).id == run["id"]


def test_commands_run_list_and_query(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--database", f"duckdb:///{tmp_path / 'runs.duckdb'}", "--device", "cpu"]
    file = tmp_path / "run.json"
    for kind in KINDS:
        asked = ["run", kind.endpoint, "--model", DRAFT, "--json", str(file)]
        for name, value in ASKED[kind.endpoint].items():
            text = value if isinstance(value, str) else json.dumps(value)
            asked += [f"--{name.replace('_', '-')}", text]
        assert cli.main([*asked, *options]) == 0, capfd.readouterr().err
        assert json.loads(file.read_text())["kind"] == kind.slug
    capfd.readouterr()
    assert cli.main(["runs", "--model", DRAFT, "--kind", "cache", *options]) == 0
    listed = capfd.readouterr().out
    assert len(listed.splitlines()) == 1
    assert TEXT[:40] in listed
    query = f"SELECT kind, count(*) AS n FROM runs WHERE model = '{DRAFT}' GROUP BY kind"
    assert cli.main(["sql", query, *options]) == 0
    rows = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert {row["kind"] for row in rows} == {kind.slug for kind in KINDS}


A_TRACE = ["run", "trace", "--text", "a", "--model", DRAFT]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "cache", "--text", "a", "--policies", "h2p"], "policy='h2p' is unknown"),
        (["run", "trace", "--text", ""], "text is empty"),
        (
            ["run", "trace", "--text", "a", "--model", DRAFT, "--csv", "/nowhere/x.zip"],
            "choose another",
        ),
        (["run", "trace", "--text", "a", "--model", "no/such/model"], "no/such/model"),
        (["fetch", "--cache-dir", "/nowhere", "--model", DRAFT], "or a .gguf file can be fetched"),
        (["sql", "DROP TABLE runs"], "only SELECT is allowed"),
    ],
)
def test_a_command_that_fails_says_why(
    arguments: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*arguments, "--database", "duckdb:///:memory:", "--device", "cpu"]) == 2
    said = capfd.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_large_quantities_are_returned_by_name_only(lab: Lab) -> None:
    run = lab.run(lab.request(KIND_OF["trace"].request, model=DRAFT, text=TEXT))
    assert lab.content(run.id)["left_out"] == {}
    small = lab.content(run.id, most=100)
    assert small["left_out"]["attention_tiles_mean"] == list(run.result.attention_tiles_mean.shape)
    assert "attention_tiles_mean" not in small["values"]
    asked = lab.content(run.id, quantities=["attention_tiles_mean"])
    assert list(asked["values"]) == ["attention_tiles_mean"]
    with pytest.raises(ValueError, match="'sinks' is no quantity of a trace: choose among"):
        lab.content(run.id, quantities=["sinks"])


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_one_table_is_a_file_of_its_own(lab: Lab, file_format: Any) -> None:
    run = lab.run(lab.request(KIND_OF["trace"].request, model=DRAFT, text=TEXT))
    data = lab.export(run.id, file_format, "layer_head")
    if file_format == "csv":
        rows = list(csv.DictReader(io.StringIO(data.decode())))
    else:
        rows = pa.parquet.read_table(io.BytesIO(data)).to_pylist()
    scores = run.result.sink_score
    assert len(rows) == scores.size
    for row in rows:
        expected = scores[int(row["layer"]), int(row["head"])]
        assert float(row["sink_score"]) == pytest.approx(float(expected), rel=1e-6)
    with pytest.raises(ValueError, match="table='sinks' is none of this run: choose run, token"):
        lab.export(run.id, file_format, "sinks")


@pytest.fixture(scope="module", params=[False, True], ids=["local", "hosted"])
def served(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    settings = Settings(
        database=shipped_store(), device="cpu", hosted=request.param, hosted_max_tokens=64
    )
    with Lab(settings) as lab:
        with gr.Blocks() as blocks:
            expose(lab)
        _, url, _ = blocks.queue().launch(
            prevent_thread_lock=True, quiet=True, mcp_server=True, server_name="127.0.0.1"
        )
        try:
            yield SimpleNamespace(url=url, lab=lab, hosted=request.param)
        finally:
            blocks.close(verbose=False)


def test_endpoints_answer_over_http_with_progress(served: SimpleNamespace) -> None:
    client = Client(served.url, verbose=False)
    job = client.submit(text=TEXT, model=DRAFT, api_name="/trace")
    run = job.result()["run"]
    assert [event["event"] for event in job.outputs()].count("progress") >= 1
    again = client.predict(run_id=run["id"], quantities=["surprisal_nats"], api_name="/run")
    assert again["values"]["surprisal_nats"] == run["values"]["surprisal_nats"]
    with pytest.raises(AppError, match="policy='h2p' is unknown"):
        client.predict(text=TEXT, policies=["h2p"], api_name="/cache")
    owner = served.lab.open(run["id"]).owner
    assert bool(owner) == served.hosted


def test_the_limits_of_a_public_page_hold_for_endpoints(served: SimpleNamespace) -> None:
    client = Client(served.url, verbose=False)
    if not served.hosted:
        assert client.predict(text=TEXT * 8, model=DRAFT, api_name="/trace")["event"] == "finished"
        return
    with pytest.raises(AppError, match="64"):
        client.predict(text=TEXT * 8, model=DRAFT, api_name="/trace")
    with pytest.raises(AppError, match=r"not offered|allowed"):
        client.predict(text=TEXT, model="org/other-model", api_name="/trace")


def test_the_same_endpoints_are_tools(served: SimpleNamespace) -> None:
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def ask() -> tuple[Any, Any, Any]:
        address = f"{served.url}gradio_api/mcp/"
        async with (
            streamable_http_client(address) as (reader, writer, _),
            ClientSession(reader, writer) as session,
        ):
            await session.initialize()
            tools = await session.list_tools()
            answer = await session.call_tool("trace", {"text": TEXT, "model": DRAFT})
            refused = await session.call_tool("trace", {"text": ""})
            return tools.tools, answer, refused

    tools, answer, refused = asyncio.run(ask())
    names = {kind.endpoint for kind in served.lab.kinds()}  # other tests declare kinds of their own
    assert {tool.name for tool in tools} == {*names, "run"}
    assert names >= set(ASKED)
    for tool in tools:
        assert all("description" in each for each in tool.inputSchema["properties"].values())
    assert not answer.isError
    assert "'event': 'finished'" in answer.content[0].text
    assert refused.isError
    assert "text is empty" in refused.content[0].text


KIND_OF = {kind.endpoint: kind for kind in KINDS}


def _tables(packed: bytes) -> dict[str, pa.Table]:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        return {
            name.removesuffix(".parquet"): pa.parquet.read_table(io.BytesIO(file.read(name)))
            for name in file.namelist()
        }


def _columns(packed: bytes) -> dict[str, list[str]]:
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        return {
            name.removesuffix(".csv"): next(csv.reader(io.StringIO(file.read(name).decode())))
            for name in file.namelist()
        }


def _holds(table: pa.Table, name: str, array: Any) -> bool:
    if name not in table.column_names or table.num_rows != array.size:
        return False
    found = table.column(name).to_numpy(zero_copy_only=False).astype(array.dtype)
    return bool(np.array_equal(found, array.reshape(-1), equal_nan=array.dtype.kind == "f"))
