"""The library of stored runs: labels, notes, dates, counts, and who may change what."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.labels import moment
from tokenarium.backend.speculation.request import SpeculateRequest

MakeLab = Callable[..., Lab]


def asked(text: str = "one") -> CountRequest:
    return CountRequest(model=MODEL, text=text)


def test_tags_are_added_found_and_taken_away(lab: Lab) -> None:
    run, other = lab.run(asked()), lab.run(asked("two"))
    assert lab.tag(run.id, "chapter  1 ", "sink") == ("chapter 1", "sink")
    assert lab.tag(run.id, "sink", "a") == ("a", "chapter 1", "sink")
    assert [found.id for found in lab.search(tag="chapter 1")] == [run.id]
    assert lab.count(tag="sink") == 1
    assert lab.count() == 2
    assert lab.untag(run.id, "chapter 1", "never there") == ("a", "sink")
    assert lab.choices().tags == {"a": 1, "sink": 1}
    assert lab.search(text="two")[0].id == other.id


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (("",), "1 to 40 characters"),
        (("a,b",), "without a comma"),
        (("x" * 41,), "has 41 characters: use at most 40"),
        (("bell\a",), "printable"),
        (("\ud800",), "printable"),
        ((3,), "tags=3 is of another type: give text"),
        (tuple(f"t{n}" for n in range(12)), "13 tags: use at most 12"),
    ],
)
def test_tag_out_of_range_is_refused_in_words_and_nothing_is_written(
    lab: Lab, tags: tuple[str, ...], said: str
) -> None:
    run = lab.run(asked())
    with pytest.raises(UserError, match=said):
        lab.tag(run.id, "right", *tags)
    assert lab.search()[0].tags == ()


def test_note_is_kept_found_by_text_and_limited(lab: Lab) -> None:
    run = lab.run(asked())
    assert lab.note(run.id, "  Head 3 of layer 2\n") == "Head 3 of layer 2"
    assert [found.id for found in lab.search(text="layer 2")] == [run.id]
    refused = {"x" * 2001: "2,001 characters: use at most 2,000", None: "text=None .* give text"}
    for text, said in refused.items():
        with pytest.raises(UserError, match=said):
            lab.note(run.id, text)
    assert lab.note(run.id, "") == lab.search()[0].note == ""


def test_labels_of_what_is_not_there_are_refused(lab: Lab) -> None:
    for write in (lab.tag, lab.untag, lab.note):
        with pytest.raises(UserError, match="'nowhere' is not stored"):
            write("nowhere", "word")


def test_days_are_whole_and_moments_exact(lab: Lab) -> None:
    run = lab.run(asked())
    today, day = datetime.now(UTC).date(), timedelta(days=1)
    assert lab.count(since=today - day, until=today + day) == 1
    assert lab.count(until=run.created) == 0
    assert lab.count(since=run.created) == 1
    assert lab.count(until=str(today - day)) == 0
    assert moment("until", "2026-03-01", ends=True) == datetime(2026, 3, 2, tzinfo=UTC)
    assert moment("since", date(2026, 3, 1)) == datetime(2026, 3, 1, tzinfo=UTC)
    assert moment("since", "2026-03-01T12:00+02:00") == datetime(2026, 3, 1, 10, tzinfo=UTC)
    for wrong in ("yesterday", "2026-02-30", 5, "9999-12-31"):
        with pytest.raises(UserError, match=r"^until=.*write it as 2026-03-01"):
            lab.count(until=wrong)


def test_count_refuses_what_search_does_not_take(lab: Lab) -> None:
    with pytest.raises(UserError, match="give only kind, text, model"):
        lab.count(colour="red")


def test_request_names_its_methods() -> None:
    request = SpeculateRequest(model=MODEL, text="x", drafter="prompt_lookup")
    assert request.methods == {"drafter": ("prompt_lookup",), "rule": ("greedy",)}
    assert asked().methods == {}


def test_run_that_is_measured_again_cannot_be_deleted(lab: Lab, watch: Watch) -> None:
    run = lab.run(asked())
    lab.note(run.id, "stays")
    watch.gate.clear()
    lab.measure(run.id)
    with pytest.raises(UserError, match="is being measured: cancel it first"):
        lab.delete(run.id)
    watch.gate.set()
    until(lambda: not lab.running())
    assert lab.search()[0].note == "stays"
    lab.delete(run.id)
    assert lab.search() == []


def test_in_hosted_mode_only_the_owner_changes_a_run(make_lab: MakeLab) -> None:
    hosted = make_lab(hosted=True)
    run = hosted.run(asked(), visitor="anna")
    for visitor in ("bert", ""):
        for write in (hosted.tag, hosted.untag, hosted.note):
            with pytest.raises(UserError, match=r"is not yours|visitor=''"):
                write(run.id, "word", visitor=visitor)
    hosted.tag(run.id, "mine", visitor="anna")
    hosted.note(run.id, "a secret", visitor="anna")
    assert hosted.choices(visitor="anna").tags == {"mine": 1}
    assert hosted.choices(visitor="bert").tags == {}
    assert hosted.count(visitor="bert", tag="mine") == hosted.count(tag="mine") == 0
    assert hosted.contents(visitor="bert").runs == 0
    assert hosted.contents(visitor="anna").next_deleted.run_id == run.id


def test_in_hosted_mode_sql_reads_own_and_shared_runs(make_lab: MakeLab) -> None:
    local = make_lab()
    shared = local.run(asked("shared"))
    local.close()
    hosted = make_lab(hosted=True)
    own = hosted.run(asked("secret of anna"), visitor="anna")
    hosted.tag(own.id, "mine", visitor="anna")
    for visitor, texts in {"anna": {"shared", "secret of anna"}, "bert": {"shared"}}.items():
        found = hosted.query("SELECT text FROM runs", visitor=visitor)["text"].to_pylist()
        assert set(found) == texts
        tags = hosted.query("SELECT tag FROM tags", visitor=visitor)["tag"].to_pylist()
        assert tags == (["mine"] if visitor == "anna" else [])
    assert hosted.query("SELECT id FROM runs")["id"].to_pylist() == [shared.id]


def test_rows_of_a_query_are_limited(lab: Lab) -> None:
    assert lab.query("FROM range(3000)").num_rows == 1000
    assert lab.query("FROM range(3000)", rows=2000).num_rows == 2000
    for rows in (0, 100_001):
        with pytest.raises(UserError, match="give 1 to 100,000"):
            lab.query("SELECT 1", rows=rows)
