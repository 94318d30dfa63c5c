from collections.abc import Callable

import pytest

from tests.runs.conftest import MODEL
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.lab import Lab

MakeLab = Callable[..., Lab]


def asked(text: str = "one", **values: object) -> CountRequest:
    return CountRequest(model=values.pop("model", MODEL), text=text, **values)


def test_open_returns_the_run_also_after_a_restart(make_lab: MakeLab) -> None:
    first = make_lab()
    run = first.run(asked())
    first.close()
    again = make_lab().open(run.id)
    assert again.request == run.request
    assert again.environment == run.environment
    assert again.result.counts.tolist() == [0, 1, 2]
    assert again.result.pairs == run.result.pairs
    assert again.cached


def test_open_of_what_is_not_there_says_so(lab: Lab) -> None:
    with pytest.raises(UserError, match="nowhere"):
        lab.open("nowhere")
    with pytest.raises(UserError, match="nowhere"):
        lab.delete("nowhere")
    with pytest.raises(UserError, match="nowhere"):
        lab.pin("nowhere")


def test_search_finds_by_text_kind_and_model_newest_first(lab: Lab) -> None:
    for text in ("a red fox", "a blue fox", "a red hen"):
        lab.run(asked(text))
    other = lab.run(asked("a red fox", model="local/other"))
    assert [r.text for r in lab.search(model=MODEL)] == ["a red hen", "a blue fox", "a red fox"]
    assert len(lab.search(text="FOX")) == 3
    assert [r.id for r in lab.search(model="local/other")] == [other.id]
    assert lab.search(kind="trace") == []
    assert [r.text for r in lab.search(model=MODEL, limit=1, offset=1)] == ["a blue fox"]


def test_delete_makes_the_next_request_compute_again(lab: Lab, watch: Watch) -> None:
    lab.delete(lab.run(asked()).id)
    assert lab.search() == []
    assert not lab.run(asked()).cached
    assert watch.calls == ["one", "one"]


def test_pin_is_kept(lab: Lab) -> None:
    run = lab.run(asked())
    lab.pin(run.id)
    assert lab.search()[0].pinned
    lab.pin(run.id, False)
    assert not lab.search()[0].pinned


def test_run_of_an_unknown_kind_is_not_opened(lab: Lab) -> None:
    run = lab.run(asked())
    store = lab._repository.store
    foreign = store.record(run.id).model_copy(update={"id": "foreign", "kind": "unheard-of"})
    store.save(foreign, {}, {})
    with pytest.raises(UserError, match="another version"):
        lab.open("foreign")


def test_run_whose_arrays_were_dropped_is_computed_again(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenarium.storage import ArraysDropped

    run = lab.run(asked())

    def dropped(_: str) -> dict[str, object]:
        raise ArraysDropped(run.id)

    monkeypatch.setattr(lab._repository.store, "arrays", dropped)
    with pytest.raises(UserError, match="were dropped"):
        lab.open(run.id)
    assert not lab.run(asked()).cached
    assert len(watch.calls) == 2


def test_query_answers_over_stored_runs(lab: Lab) -> None:
    lab.run(asked("one"))
    lab.run(asked("two"))
    table = lab.query("SELECT text FROM runs ORDER BY text")
    assert table.column("text").to_pylist() == ["one", "two"]
    with pytest.raises(UserError):
        lab.query("DROP TABLE runs")


def test_database_that_is_in_use_is_said(make_lab: MakeLab, tmp_path: object) -> None:
    (tmp_path / "picture.duckdb").write_bytes(b"\x89PNG\r\n\x1a\n" * 64)
    with pytest.raises(UserError, match=r"picture\.duckdb"):
        make_lab(database=f"duckdb:///{tmp_path / 'picture.duckdb'}")
