"""What pages that are of no run give away: files of what their address names, parts in a frame."""

import base64
import csv
import io
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pyarrow.parquet
import pytest

from tests.labs import shipped_lab
from tests.runs.test_run_files import executed
from tokenarium.backend import MEASURED, Lab, TraceRequest, Visitor
from tokenarium.ui.audits.parts import Parts
from tokenarium.ui.heads.answer import measured
from tokenarium.ui.lessons.reading import lessons
from tokenarium.ui.pages import every_page
from tokenarium.ui.pages.audit import Audit
from tokenarium.ui.pages.compare import Compare
from tokenarium.ui.pages.heads import Heads
from tokenarium.ui.pages.learn import Learn
from tokenarium.ui.pages.library import Library
from tokenarium.ui.pages.tokens import Tokens
from tokenarium.ui.shell.embedding import ONLY_SHOWN
from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.saving import saved_of

FRAMED = SimpleNamespace(headers={"referer": "http://h/x?embed=strip"}, cookies={},
                         session_hash="s", query_params={})  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


def bytes_of(told: dict[str, str]) -> bytes:
    assert "error" not in told
    return told["text"].encode() if "text" in told else base64.b64decode(told["base64"])


def test_heads_are_saved_with_the_numbers_of_the_measurement(lab: Lab) -> None:
    corpus = measured(lab, None)
    content = bytes_of(saved_of(Heads(lab), "?layer=3", "heads.parquet"))
    read = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    assert len(read) == corpus.mean.size
    one = next(row for row in read if (row["layer"], row["head"], row["measure"]) == (3, 5, "echo"))
    place = (MEASURED.index("echo"), 3, 5)
    assert one["mean"] == corpus.mean[place]
    assert one["quantile_0.95"] == corpus.quantiles[(2, *place)]
    assert one["n"] == corpus.count[place]
    assert one["strongest_text"] == corpus.about.texts[corpus.strongest[place]]
    rows = list(
        csv.DictReader(io.StringIO(bytes_of(saved_of(Heads(lab), "", "heads.csv")).decode()))
    )
    assert [np.float32(row["mean"]) for row in rows] == corpus.mean.ravel().tolist()
    assert "not measured" in saved_of(Heads(lab), "?model=nowhere", "heads.csv")["error"]


def test_a_text_under_its_tokenizers_is_saved_and_cut_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, query = Tokens(lab), "with=bundled%2Ftarget&text=Some+naïve+words%3A+12"
    told = json.loads(bytes_of(saved_of(page, query, "run.json")))
    assert told["request"]["text"] == "Some naïve words: 12"
    space = executed(bytes_of(saved_of(page, query, "run.ipynb")).decode(), lab, monkeypatch)
    again = space["run"].result
    assert again.tokens.tolist() == told["values"]["tokens"]
    assert again.token_ids.tolist() == told["values"]["token_ids"]
    assert "kept here only" in saved_of(page, "with=given%2Fabc", "run.ipynb")["error"]
    assert "error" in saved_of(page, "with=nowhere%2Fnone", "run.json")


@pytest.mark.parametrize("page", [Compare, Heads, Tokens, Audit])
def test_what_an_address_does_not_have_is_said(lab: Lab, page: type[Page]) -> None:
    assert "none of this page: choose" in saved_of(page(lab), "", "x.pdf")["error"]
    assert "none of this page" in saved_of(page(lab), None, None)["error"]
    if page in (Compare, Audit):
        assert saved_of(page(lab), "run=&runs=", "run.json").keys() == {"error"}


class Bare(Page):
    """A page that has no files."""

    path, title, order, intro = "bare", "Bare", 90, "A page of this test."

    def build(self, blocks: gr.Blocks) -> None:
        """Show nothing."""


def test_pages_without_files_say_so(lab: Lab) -> None:
    without = [each for each in every_page() if issubclass(each, Page) and not each.files]
    for page in (Bare, *without):
        assert "choose none" in saved_of(page(lab), "", "run.json")["error"]


def test_the_list_of_runs_is_saved_as_it_is_filtered_and_to_whom_it_is(lab: Lab) -> None:
    query = "?kind=trace&text=lighthouse&pinned="
    content = bytes_of(saved_of(Library(lab), query, "runs.parquet"))
    read = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    found = lab.search(kind="trace", text="lighthouse", limit=1_000)
    assert len(found) > 1
    for one, run in zip(read, found, strict=True):
        assert (one["id"], one["text"], one["created"]) == (run.id, run.text, run.created)
        assert (one["duration_ms"], one["array_bytes"]) == (run.duration_ms, run.array_bytes)
    text = bytes_of(saved_of(Library(lab), query, "runs.csv")).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["id"] for row in rows] == [run.id for run in found]
    assert json.loads(rows[0]["tags"]) == list(found[0].tags)
    [kept] = [run for run in lab.search(kind="cache", limit=50) if run.id.endswith("what-is-kept")]
    text = bytes_of(saved_of(Library(lab), "?kind=cache", "runs.csv")).decode()
    [row] = [row for row in csv.DictReader(io.StringIO(text)) if row["id"] == kept.id]
    assert "policy:h2o" in json.loads(row["methods"])
    assert "is no date" in saved_of(Library(lab), "?since=soon", "runs.csv")["error"]


def test_a_visitor_saves_no_list_of_anothers_runs() -> None:
    with shipped_lab(hosted=True) as hosted:
        request = hosted.request(TraceRequest, model="bundled/draft", text="a heron waits")
        run = hosted.run(request, visitor="anna")
        lists = {
            name: bytes_of(saved_of(Library(hosted), "", "runs.csv", Visitor(name))).decode()
            for name in ("anna", "bert")
        }
    assert run.id in lists["anna"]
    assert run.id not in lists["bert"]


def test_every_lesson_is_saved_as_its_hand_out(lab: Lab) -> None:
    page = Learn(lab)
    assert list(page.files) == [f"{slug}.html" for slug in lessons()]
    text = bytes_of(saved_of(page, "", "sink.html")).decode()
    assert lessons()["sink"].title in text
    assert "<script" not in text


def test_nothing_is_computed_in_a_frame(lab: Lab) -> None:
    tokens = Tokens(lab)
    for asked in (
        {"do": "score", "run": True, "text": "a b", "model": "bundled/target"},
        {"do": "byte", "run": True},
        {"do": "train", "run": True, "corpus": "a b"},
        {"do": "give", "state": "{}"},
        {"do": "letters", "run": True},
    ):
        found: dict[str, Any] = tokens._answer({**asked, "number": 4}, FRAMED)
        assert found == {"answer": True, "do": asked["do"], "number": 4, "error": ONLY_SHOWN}
    assert "strip" in tokens._answer({"do": "cut", "text": "a b"}, FRAMED)
    before = len(lab.search(visitor="v"))
    with gr.Blocks():
        made = Parts(lab, [])
    page = Audit(lab)
    told = list(page._yielding(made, page._audit)(FRAMED, *[""] * 13))
    assert ONLY_SHOWN in str(told)
    assert len(told) == 1
    assert ONLY_SHOWN in page._cancel("r", FRAMED)
    assert len(lab.search(visitor="v")) == before
