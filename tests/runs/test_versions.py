"""Runs outlive releases: what an older version stored opens, and what it lacks can be measured."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.later import MARGIN, set_result_class, with_margin, with_upgrade
from tests.runs.stand_in import KIND, CountRequest, CountResult, Watch
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import Finished
from tokenarium.backend.runs.kind import KINDS
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.result import Result, quantity
from tokenarium.backend.runs.run import Run

MakeLab = Callable[..., Lab]


def asked(text: str = "one", **values: object) -> CountRequest:
    return CountRequest(model=values.pop("model", MODEL), text=text, **values)


def changed(version: int, **more: Any) -> type[Result]:
    """Return results in which ``counts`` means something else since a schema version."""
    return dataclasses.make_dataclass(
        "CountResult",
        [("counts", Any, quantity("counts", "n", "", "1, 2, 3", "Numbers.", version=version))],
        bases=(CountResult,),
        frozen=True,
        namespace={"schema_version": version, **more},
    )


def count_from_one(
    facts: dict[str, Any], arrays: dict[str, Any], version: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    assert version == 1
    return facts, {**arrays, "counts": arrays["counts"] + 1}


def answers_since_two(run: Run, version: int) -> bool:
    assert run.missing == ("margin",)
    return version >= 2


UPGRADE = f"{__name__}:count_from_one"


def test_run_of_an_older_version_opens_and_says_what_it_did_not_measure(
    make_lab: MakeLab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_lab()
    old = first.run(asked())
    assert old.missing == ()
    first.close()
    with_margin(KIND, monkeypatch)
    lab = make_lab()
    opened = lab.open(old.id)
    assert opened.missing == ("margin",)
    assert opened.result.margin is None
    assert opened.result.counts.tolist() == [0, 1, 2]
    assert "margin" not in opened.result.facts()
    exported = json.loads(lab.export(old.id))
    assert exported["missing"] == ["margin"]
    assert "margin" in exported["definitions"].keys() - exported["values"].keys()
    assert lab.run(asked()).id == old.id, "still the answer to whoever does not ask for it"
    assert watch.calls == ["one"]


def test_new_run_measures_what_was_added(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with_margin(KIND, monkeypatch)
    run = lab.run(asked())
    assert (run.result.margin, run.missing) == (MARGIN, ())
    assert run.environment["schema_version"] == 2
    assert lab.open(run.id).result.margin == MARGIN
    exported = json.loads(lab.export(run.id))
    assert (exported["missing"], exported["values"]["margin"]) == ([], MARGIN)


@pytest.mark.parametrize("how", ["run", "open", "start", "content"])
def test_caller_that_names_a_missing_quantity_gets_it_under_the_same_id(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    old = lab.run(asked())
    lab.pin(old.id)
    with_margin(KIND, monkeypatch)
    if how == "run":
        run = lab.run(asked(), needs=("margin", "counts"))
    elif how == "open":
        run = lab.open(old.id, needs=("margin",))
    elif how == "content":
        assert lab.content(old.id, quantities=["margin"])["values"] == {"margin": MARGIN}
        run = lab.open(old.id)
    else:
        *_, event = lab.follow(lab.start(asked(), needs=("margin",)).id)
        assert isinstance(event, Finished)
        run = event.run
    assert (run.id, run.result.margin, run.missing) == (old.id, MARGIN, ())
    until(lambda: not lab.running())
    [record] = lab.search()
    assert (record.id, record.pinned) == (old.id, True)
    assert record.created > old.created
    assert lab.open(old.id, needs=("margin",)).result.margin == MARGIN
    assert lab.run(asked(), needs=("margin",)).id == old.id
    assert watch.calls == ["one", "one"]


def test_measure_computes_a_stored_run_again_for_all_who_follow(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lab.run(asked())
    with_margin(KIND, monkeypatch)
    watch.gate.clear()
    begun, again = lab.measure(old.id), lab.measure(old.id)
    assert begun == again
    assert (begun.id, begun.request, begun.stored) == (old.id, asked(), False)
    assert lab.open(old.id).missing == ("margin",), "the old one until the new one is there"
    watch.gate.set()
    *_, event = lab.follow(begun.id)
    assert event.run.result.margin == MARGIN
    assert watch.calls == ["one", "one"]


def test_cancelled_measuring_leaves_the_old_run(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lab.run(asked())
    with_margin(KIND, monkeypatch)
    watch.gate.clear()
    begun = lab.measure(old.id)
    assert lab.cancel(begun.id)
    until(lambda: not lab.running())
    assert lab.open(old.id).result.counts.tolist() == [0, 1, 2]


def test_measure_brings_dropped_arrays_back(lab: Lab) -> None:
    from tokenarium.storage.limit import _drop

    old = lab.run(asked())
    with lab._repository.store._open._database().engine.begin() as connection:
        _drop(connection, [old.id])
    lab._repository._opened._runs.clear()
    with pytest.raises(UserError, match="were dropped"):
        lab.open(old.id)
    list(lab.follow(lab.measure(old.id).id))
    assert lab.open(old.id).result.counts.tolist() == [0, 1, 2]


def test_visitors_measure_their_own_runs_only(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = make_lab()
    shared = local.run(asked("shared"))
    local.close()
    hosted = make_lab(hosted=True)
    own = hosted.run(asked(), visitor="anna")
    with_margin(KIND, monkeypatch)
    for run_id, visitor in ((shared.id, "anna"), (own.id, "bert")):
        with pytest.raises(UserError, match="is not yours"):
            hosted.measure(run_id, visitor=visitor)
        with pytest.raises(UserError, match="is not yours"):
            hosted.open(run_id, visitor=visitor, needs=("margin",))
    assert hosted.open(own.id, visitor="anna", needs=("margin",)).owner == "anna"
    fresh = hosted.run(asked("shared"), visitor="bert", needs=("margin",))
    assert (fresh.owner, fresh.result.margin) == ("bert", MARGIN)
    assert fresh.id != shared.id
    assert hosted.open(shared.id).missing == ("margin",)


def test_run_that_is_measured_outside_hosted_mode_stays_its_owners(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = make_lab(hosted=True)
    own = hosted.run(asked(), visitor="anna")
    hosted.close()
    with_margin(KIND, monkeypatch)
    lab = make_lab()
    list(lab.follow(lab.measure(own.id).id))
    assert lab._repository.store.record(own.id).owner == "anna"


def test_unknown_needs_are_refused(lab: Lab) -> None:
    run = lab.run(asked())
    for ask in (
        lambda: lab.run(asked(), needs=("margni",)),
        lambda: lab.open(run.id, needs=("margni",)),
    ):
        with pytest.raises(UserError, match="'margni' is no quantity of a count: choose"):
            ask()


def test_changed_meaning_is_computed_again_and_not_opened(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lab.run(asked())
    set_result_class(KIND, changed(2), monkeypatch)
    with pytest.raises(UserError, match=r"its numbers meant something else: measure it again"):
        lab.open(old.id)
    again = lab.run(asked())
    assert (again.cached, again.id == old.id) == (False, False)
    assert watch.calls == ["one", "one"]
    list(lab.follow(lab.measure(old.id).id))
    assert lab.open(old.id).environment["schema_version"] == 2


def test_changed_meaning_is_mended_where_the_kind_can(
    make_lab: MakeLab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_lab()
    old = first.run(asked())
    first.close()
    set_result_class(KIND, changed(3), monkeypatch)
    with_upgrade(KIND, UPGRADE, monkeypatch)
    lab = make_lab()
    assert lab.open(old.id).result.counts.tolist() == [1, 2, 3]
    assert lab.run(asked()).id == old.id
    assert watch.calls == ["one"]


def test_a_run_that_no_longer_answers_its_request_opens_and_is_computed_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lab.run(asked())
    with_margin(KIND, monkeypatch)
    assert lab.run(asked()).id == old.id
    answers = dataclasses.replace(KIND, answers=f"{__name__}:answers_since_two")
    monkeypatch.setitem(KINDS._entries, KIND.slug, answers)
    assert lab.open(old.id).missing == ("margin",)
    new = lab.run(asked())
    assert (new.id != old.id, new.cached) == (True, False)
    assert lab.run(asked()).id == new.id


def test_run_of_a_newer_version_is_not_opened(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        with_margin(KIND, later)
        run = lab.run(asked())
    lab._repository._opened._runs.clear()
    with pytest.raises(UserError, match="a newer one: update this one"):
        lab.open(run.id)


def test_retired_quantity_of_an_old_run_is_left_out() -> None:
    counted = CountResult(counts=None, pairs=(), layers_done=3, limit=7)
    stored = {**counted.facts(), "colour": "red"}
    assert CountResult.from_stored(stored, {}) == counted


def test_key_is_that_of_the_meaning(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lab._repository.key(asked(), "f")
    with_margin(KIND, monkeypatch)
    assert lab._repository.key(asked(), "f") == before
    set_result_class(KIND, changed(2), monkeypatch)
    assert lab._repository.key(asked(), "f") != before
    oldest = dataclasses.make_dataclass(
        "CountResult", [], bases=(CountResult,), frozen=True, namespace={"oldest_readable": 2}
    )
    set_result_class(KIND, oldest, monkeypatch)
    assert lab._repository.key(asked(), "f") != before
