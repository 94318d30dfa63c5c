"""What the Library answers, without a browser: lists, changes, queries, figures."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tests.labs import shipped_lab, shipped_store
from tokenarium.backend import Lab, Settings, TraceRequest, UserError, Visitor
from tokenarium.ui.figures.query import query_figure
from tokenarium.ui.library.asked import Asked
from tokenarium.ui.library.examples import QUESTIONS
from tokenarium.ui.library.holdings import holdings_html
from tokenarium.ui.library.listing import NONE_SUCH, changed, listed
from tokenarium.ui.library.query import answered, cells, drawn, file_of, usual
from tokenarium.ui.library.rows import address_of
from tokenarium.ui.pages import every_page
from tokenarium.ui.pages.library import Library
from tokenarium.ui.why.number import unmarked

NASTY = "<script>alert(1)</script> ${alert(2)} {{x}}"
NOBODY = Visitor("")
ANNA, BERT = Visitor("anna"), Visitor("bert")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    assert Library in every_page(), "which also makes all others known"
    with shipped_lab() as made:
        yield made


@pytest.fixture
def run_id(lab: Lab) -> Iterator[str]:
    run = lab.run(TraceRequest(model="bundled/draft", text=f"{NASTY} {datetime.now(UTC)}"))
    yield run.id
    if any(each.id == run.id for each in lab.search(limit=1000)):
        lab.delete(run.id)


def act(
    lab: Lab, run_id: str, do: str, said: str = "", visitor: Visitor = NOBODY
) -> dict[str, Any]:
    return changed(lab, Asked(do=do, run_id=run_id, said=said), visitor)


def test_list_shows_texts_escaped_and_where_each_run_opens(lab: Lab, run_id: str) -> None:
    found = listed(lab, Asked(), NOBODY, arrived=True)
    assert "<script>" not in found["rows"]
    assert "${" not in found["rows"]
    assert f'href="./?run={run_id}"' in found["rows"]
    assert found["rows"].count("<tr data-run=") == lab.count()
    assert ("trace", f"Trace ({lab.count(kind='trace')})") in found["choices"]["kind"]


def test_a_frame_lists_and_opens_runs_and_changes_none(lab: Lab, run_id: str) -> None:
    told = {"query": "?kind=trace&text=alert&embed=runs", "framed": True}
    rows = listed(lab, Asked.read(told), NOBODY, arrived=True)["rows"].partition("<tbody>")[2]
    assert f'href="./?run={run_id}"' in rows
    assert "<script>" not in rows
    assert not [each for each in ("data-do", "<input", "<details") if each in rows]
    asked = Asked.read({"framed": True, "do": "delete", "run": run_id})
    assert "an embed only lists runs" in changed(lab, asked, NOBODY)["refused"]
    assert lab.open(run_id).id == run_id


def test_the_page_knows_a_frame_by_its_address(lab: Lab) -> None:
    def told(address: str) -> dict[str, Any]:
        headers = {"referer": f"http://h/{address}"}
        request: Any = SimpleNamespace(headers=headers, cookies={}, session_hash="s")
        return Library(lab)._seen(lambda asked, _: asked)({"framed": "no"}, request)

    assert told("library?embed=runs")["framed"] is True
    assert told("library?text=embed")["framed"] is False


@pytest.mark.usefixtures("lab")
def test_runs_open_on_the_page_of_their_kind() -> None:
    assert address_of("cache") == "cache?run="
    assert address_of("speculate") == "speculate?run="
    assert address_of("trace") == "./?run="
    assert address_of("new_tokens") == "tokens?run="
    assert address_of("gone") == ""


def test_filters_come_from_the_address_and_narrow_the_list(lab: Lab, run_id: str) -> None:
    asked = Asked.read({"query": "?kind=trace&model=bundled%2Fdraft&nonsense=1&text=alert"})
    found = listed(lab, asked, NOBODY, arrived=True)
    assert found["filters"] == {"kind": "trace", "model": "bundled/draft", "text": "alert"}
    assert found["rows"].count("<tr data-run=") == 1
    assert listed(lab, Asked({"text": "nothing has this"}), NOBODY)["rows"].count(NONE_SUCH) == 1
    refused = listed(lab, Asked({"since": "soon"}), NOBODY)
    assert "since='soon' is no date" in refused["refused"]


@pytest.mark.parametrize(
    "odd", [None, 3, [], {"filters": 3, "page": -1, "do": []}, {"query": "?%"}]
)
def test_anything_that_a_browser_sends_is_answered(lab: Lab, odd: object) -> None:
    assert "rows" in listed(lab, Asked.read(odd), NOBODY)
    assert "is unknown" in changed(lab, Asked.read(odd), NOBODY)["refused"]


def test_run_is_pinned_tagged_noted_and_deleted(lab: Lab, run_id: str) -> None:
    assert act(lab, run_id, "pin")["said"].startswith("Pinned")
    assert act(lab, run_id, "tag", "sinks")["choices"]["tag"] == [("sinks", "sinks (1)")]
    assert "a &lt;b&gt;" in act(lab, run_id, "note", "a <b>")["rows"]
    assert [run.id for run in lab.search(tag="sinks", pinned=True, text="a <b>")] == [run_id]
    assert "41 characters" in act(lab, run_id, "tag", "x" * 41)["refused"]
    act(lab, run_id, "untag", "sinks")
    assert act(lab, run_id, "unpin")["choices"]["tag"] == []
    assert act(lab, run_id, "delete")["said"] == "Deleted."
    assert "is not stored" in act(lab, run_id, "delete")["refused"]


def test_examples_can_be_tagged_and_not_deleted(lab: Lab) -> None:
    example = lab.examples("trace")[0].run_id
    assert "it cannot be deleted" in act(lab, example, "delete")["refused"]
    assert act(lab, example, "tag", "shown")["said"] == "Tags: shown."
    act(lab, example, "untag", "shown")


def test_pages_of_the_list_follow_one_another(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenarium.ui.library.listing.AT_ONCE", 4)
    count = lab.count()
    first, last = (listed(lab, Asked(page=page), NOBODY) for page in (0, 999))
    assert unmarked(first["count"]).endswith(f">1 to 4 of {count} runs</div>")
    assert (first["more"], last["more"]) == (True, False)
    assert last["page"] == (count - 1) // 4


def test_what_is_stored_is_said_in_a_sentence(lab: Lab, run_id: str) -> None:
    said = holdings_html(lab.contents(), lab.settings)
    assert f"{lab.count()} runs" in unmarked(said)
    assert "the oldest run that is not pinned" in said
    assert "<script>" not in said


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.title)
def test_every_example_is_answered_and_drawn(lab: Lab, question: Any) -> None:
    found = answered(lab, question.sql, NOBODY)
    columns = dict(zip(found["names"], found["columns"], strict=True))
    assert len(next(iter(columns.values()))) > 0
    chosen = {name: getattr(question, name) for name in ("chart", "x", "y", "colour")}
    assert f'"{question.y}"' in drawn(chosen, columns)


def test_answer_has_cells_that_a_browser_can_hold(lab: Lab) -> None:
    sql = (
        "SELECT 1 AS a, 2.5 AS a, 'x' AS b, NULL AS c, true AS d, 9007199254740993 AS e, "
        "'inf'::DOUBLE AS f, 'bytes'::BLOB AS g, [1, 2] AS h, repeat('y', 500) AS i"
    )
    found = answered(lab, sql, NOBODY)
    assert len(set(found["names"])) == 10
    first = [column[0] for column in found["columns"]]
    assert first[2:8] == ["x", None, "true", "9007199254740993", None, "5 bytes"]
    assert len(first[9]) == 160
    assert answered(lab, "FROM range(3000)", NOBODY)["said"] == (
        "The first 200 of 1,000 rows; there are more, a file has up to a hundred times as many."
    )
    assert answered(lab, "SELECT 1 WHERE false", NOBODY)["said"] == "No row fulfils this query."


def test_files_have_all_rows(lab: Lab) -> None:
    import base64

    csv = file_of(lab, "SELECT range AS n FROM range(3000)", "csv", NOBODY)
    assert base64.b64decode(csv["base64"]).decode().splitlines()[:2] == ['"n"', "0"]
    assert len(base64.b64decode(csv["base64"]).splitlines()) == 3001
    assert base64.b64decode(file_of(lab, "FROM range(3)", "parquet", NOBODY)["base64"])[:4] == (
        b"PAR1"
    )
    with pytest.raises(UserError, match="choose csv or parquet"):
        file_of(lab, "SELECT 1", "exe", NOBODY)


def test_figure_has_the_rows_and_refuses_in_words() -> None:
    columns = {"n": [3, 1, 2, None], "y": [1.0, None, 2.5, 3], "w": ["<b>", "b", "<b>", "a"]}
    figure = query_figure(columns, "line", "n", "y")
    assert list(figure.data[0].x) == ["3", "2", "NULL"], "one is no number: all are words"
    assert list(figure.data[0].y) == [1.0, 2.5, 3]
    by = query_figure(columns, "scatter", "y", "y", "w")
    assert [(trace.name, list(trace.y)) for trace in by.data] == [
        ("&lt;b&gt;", [1.0, 2.5]),
        ("a", [3]),
    ]
    for given, said in (
        (("bar", "w", "y"), "same value in several rows"),
        (("bar", "n", "w"), "has no number"),
        (("bar", "n", "gone"), "choose n, y, w"),
        (("pie", "n", "y"), "choose bar, line, scatter"),
    ):
        with pytest.raises(UserError, match=said):
            query_figure(columns, *given)
    many = {"x": list(range(20)), "c": [str(n) for n in range(20)]}
    with pytest.raises(UserError, match="20 different values, and 12"):
        query_figure(many, "bar", "x", "x", "c")


def test_usual_figure_needs_numbers() -> None:
    assert usual(["a", "b"], [["x", "y"], [1, 2]]) == {
        "chart": "bar", "x": "a", "y": "b", "colour": "",
    }  # fmt: skip
    assert usual(["a", "b"], [["x", "x"], [1, 2]])["chart"] == "scatter"
    assert usual(["a"], [[1]]) is None
    assert usual(["a", "b"], [["x"], ["y"]]) is None
    assert cells({"a": [1, [], "x"], "b": 3, 4: []}, 2) == {"a": [1, None]}


@pytest.fixture(scope="module")
def hosted() -> Iterator[SimpleNamespace]:
    settings = Settings(database=shipped_store(), device="cpu", hosted=True)
    with Lab(settings) as lab:
        run = lab.run(TraceRequest(model="bundled/draft", text="anna's own words"), visitor=ANNA)
        yield SimpleNamespace(lab=lab, run_id=run.id)


def test_visitor_of_a_hosted_page_sees_and_changes_own_runs_alone(hosted: SimpleNamespace) -> None:
    own, other = (listed(hosted.lab, Asked(), who) for who in (ANNA, BERT))
    assert "anna&#x27;s own words" in own["rows"]
    assert "own words" not in other["rows"]
    assert own["rows"].count("<details") == 1, "examples cannot be changed"
    assert 'data-do="pin"' not in own["rows"]
    for do in ("tag", "note", "delete", "untag", "pin"):
        refused = act(hosted.lab, hosted.run_id, do, "x", BERT)["refused"]
        assert "not yours" in refused or "not offered here" in refused
    assert "Tags: mine." in act(hosted.lab, hosted.run_id, "tag", "mine", ANNA)["said"]
    assert "own words" in holdings_html(hosted.lab.contents(visitor=ANNA), hosted.lab.settings)
    assert "own words" not in holdings_html(hosted.lab.contents(visitor=BERT), hosted.lab.settings)


ATTACKS = [
    "ATTACH '/etc/passwd' AS x",
    "COPY runs TO '/tmp/stolen.csv'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "PRAGMA database_list",
    "SET memory_limit = '100GB'",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM parts",
    "SELECT 1; SELECT text FROM runs",
    "SELECT '" + "x" * 30_000 + "'",
    "SELECT CAST(text AS INTEGER) FROM runs WHERE text LIKE '%words%'",
    "SELECT * FROM (SELECT text FROM runs) WHERE text LIKE '%own words%'",
    "\ud800",
    "",
]


@pytest.mark.parametrize("sql", ATTACKS, ids=lambda sql: sql[:30])
def test_attack_through_the_page_is_words_and_shows_nobodys_text(
    hosted: SimpleNamespace, sql: str
) -> None:
    page = Library(hosted.lab)
    answer, figure = page._answer({"sql": sql, "chosen": {"chart": []}}, BERT)
    assert "own words" not in str(answer)
    assert answer.get("refused") or not any(answer["columns"])
    assert figure is None
    made = page._file({"sql": sql, "format": "csv"}, BERT)
    assert "own words" not in str(made)


def test_endless_query_is_stopped(hosted: SimpleNamespace) -> None:
    sql = "SELECT sum(a.range * b.range) FROM range(10_000_000) a, range(10_000_000) b"
    answer, _ = Library(hosted.lab)._answer({"sql": sql}, BERT)
    assert "ran longer than 5 s" in answer["refused"]


def test_odd_questions_about_figures_are_answered_in_words(lab: Lab) -> None:
    page = Library(lab)
    for odd in ({}, {"columns": []}, {"chosen": 3, "columns": {"a": "x"}}, {"chosen": {"x": []}}):
        answer, figure = page._draw(odd, NOBODY)
        assert answer["refused"]
        assert figure is None
