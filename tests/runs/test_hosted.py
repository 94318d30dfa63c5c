import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import Cancelled, Finished
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.visitor import Visitor

MakeLab = Callable[..., Lab]


@pytest.fixture
def hosted(make_lab: MakeLab) -> Lab:
    return make_lab(hosted=True)


def asked(text: str = "one", **values: object) -> CountRequest:
    return CountRequest(model=values.pop("model", MODEL), text=text, **values)


def test_visitors_neither_list_nor_share_nor_delete_each_others_runs(
    hosted: Lab, watch: Watch
) -> None:
    anna = hosted.run(asked(), visitor="anna")
    bert = hosted.run(asked(), visitor="bert")
    assert anna.id != bert.id
    assert watch.calls == ["one", "one"], "bert's run did not come from anna's"
    assert [r.id for r in hosted.search(visitor="anna")] == [anna.id]
    assert [r.id for r in hosted.search(visitor="bert", text="ONE")] == [bert.id]
    assert hosted.search() == []
    assert hosted.search(visitor="carl") == []
    for visitor in ("bert", "carl"):
        with pytest.raises(UserError, match="is not yours"):
            hosted.delete(anna.id, visitor=visitor)
    hosted.delete(anna.id, visitor="anna")
    assert hosted.search(visitor="anna") == []
    assert hosted.run(asked(), visitor="bert").cached


def test_whoever_has_the_link_may_open_but_does_not_learn_the_owner(hosted: Lab) -> None:
    run = hosted.run(asked(), visitor="anna")
    assert len(run.id) >= 22, "an id that cannot be guessed"
    assert hosted.open(run.id, visitor="anna").owner == "anna"
    assert hosted.open(run.id, visitor="bert").owner == "another visitor"
    assert hosted.open(run.id).result.layers_done == 3
    assert "anna" not in hosted.export(run.id)


def test_shared_runs_are_served_to_every_visitor_and_deleted_by_none(
    make_lab: MakeLab, watch: Watch
) -> None:
    local = make_lab()
    shared = local.run(asked())
    local.close()
    hosted = make_lab(hosted=True)
    served = hosted.run(asked(), visitor="anna")
    assert (served.id, served.cached) == (shared.id, True)
    assert watch.calls == ["one"]
    assert [r.id for r in hosted.search(visitor="bert")] == [shared.id]
    with pytest.raises(UserError, match="not yours"):
        hosted.delete(shared.id, visitor="anna")
    with pytest.raises(UserError, match="visitor=''"):
        hosted.delete(shared.id)


def test_a_run_without_a_visitor_is_refused(hosted: Lab) -> None:
    with pytest.raises(UserError, match="visitor='' in hosted mode"):
        hosted.run(asked())


def test_models_outside_the_list_are_refused(hosted: Lab, models_dir: object) -> None:
    for name in (str(models_dir / "tiny"), "openai-community/gpt2"):
        with pytest.raises(UserError, match="local/tiny"):
            hosted.run(asked(model=name), visitor="anna")
        with pytest.raises(UserError, match="local/tiny"):
            hosted.warm(name)


def test_time_limit_stops_a_run_and_says_so(make_lab: MakeLab, watch: Watch) -> None:
    hosted = make_lab(hosted=True, hosted_max_seconds=0.2)
    with pytest.raises(Cancelled, match=r"longer than the 0\.2 seconds allowed"):
        hosted.run(asked(steps=10_000, pause_ms=2), visitor="anna")
    assert watch.stopped.wait(5)
    assert 0 < watch.steps < 1_000
    assert hosted.search(visitor="anna") == []
    assert not hosted.run(asked(), visitor="anna").cached


def test_what_would_be_stopped_for_its_time_is_refused_before(
    make_lab: MakeLab, watch: Watch
) -> None:
    hosted = make_lab(hosted=True, hosted_max_seconds=10)
    hosted.run(asked("known"), visitor="anna")
    watch.expected_ms = 16_000
    refusal = r"about 16 seconds, .*, and 10 are allowed here: take a shorter text"
    for ask in (hosted.run, hosted.start, hosted.estimate):
        with pytest.raises(UserError, match=refusal):
            ask(asked(), visitor="anna")
    assert hosted.run(asked("known"), visitor="anna").cached, "what is stored takes no time"
    assert watch.calls == ["known"]
    watch.expected_ms = 14_000
    assert hosted.run(asked(), visitor="anna").result.layers_done == 3
    watch.expected_ms = 16_000
    hosted.close()
    with make_lab(hosted_max_seconds=10) as local:
        assert local.estimate(asked()).total_ms == 16_000


def test_time_limit_does_not_hold_outside_hosted_mode(make_lab: MakeLab) -> None:
    lab = make_lab(hosted_max_seconds=0.05)
    assert lab.run(asked(steps=20, pause_ms=5)).result.layers_done == 20


def test_token_limit_is_the_one_of_hosted_mode(make_lab: MakeLab) -> None:
    hosted = make_lab(hosted=True, hosted_max_tokens=30)
    assert hosted.run(asked(), visitor="anna").result.limit == 30


def test_one_visitor_cannot_fill_the_queue(make_lab: MakeLab, watch: Watch) -> None:
    hosted = make_lab(hosted=True, hosted_requests=1)
    watch.gate.clear()
    first = threading.Thread(target=lambda: hosted.run(asked(), visitor="anna"), daemon=True)
    first.start()
    until(lambda: watch.calls == ["one"])
    with pytest.raises(UserError, match="1 of your requests"):
        hosted.run(asked("two"), visitor="anna")
    watch.gate.set()
    first.join(10)
    assert not hosted.run(asked("two"), visitor="anna").cached


def test_a_class_that_chooses_among_four_values_waits_for_four_runs(
    make_lab: MakeLab, watch: Watch
) -> None:
    hosted = make_lab(hosted=True)
    code = hosted.classes.begin("of a test").code

    def student(number: int, group: str) -> Visitor:
        return hosted.visitor(f"student {number}", "8.8.4.4", group=group)

    watch.gate.clear()
    texts = ["one", "two", "three", "four"]
    tickets = [
        hosted.start(asked(texts[number % 4]), visitor=student(number, code))
        for number in range(20)
    ]
    until(lambda: watch.calls == ["one"])
    hosted.start(asked("a neighbour in no class"), visitor=student(21, ""))
    watch.gate.set()
    runs = []
    for number, ticket in enumerate(tickets):
        events = list(hosted.follow(ticket.id, visitor=student(number, code)))
        assert isinstance(events[-1], Finished)
        runs.append(events[-1].run)
    assert [run.request.text for run in runs] == texts * 5
    assert len({run.id for run in runs}) == 20, "each student's run is the student's own"
    assert sorted(set(watch.calls) - {"a neighbour in no class"}) == sorted(texts)
    assert len(watch.calls) <= 5, "who chose the same waited for one run"


def test_old_runs_of_visitors_are_deleted_and_shared_ones_kept(make_lab: MakeLab) -> None:
    local = make_lab()
    shared = local.run(asked("shared"))
    local.close()
    first = make_lab(hosted=True, hosted_keep_hours=1)
    fresh = first.run(asked("fresh"), visitor="anna")
    store = first._repository.store
    for run in (fresh, shared):
        record = store.record(run.id)
        old = record.model_copy(
            update={"id": f"old-{run.id}", "created": datetime.now(UTC) - timedelta(hours=2)}
        )
        store.save(old, {}, {})
    assert len(first.search(visitor="anna")) == 4
    first._repository._expired_at -= 601
    left = {record.id for record in first.search(visitor="anna")}
    assert left == {fresh.id, shared.id, f"old-{shared.id}"}


def test_old_runs_are_looked_for_at_start_and_at_most_every_ten_minutes(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenarium.storage import RunStore

    looked: list[float] = []
    real = RunStore.delete_older

    def count(self: object, hours: float, **more: object) -> int:
        looked.append(hours)
        return real(self, hours, **more)

    monkeypatch.setattr(RunStore, "delete_older", count)
    hosted = make_lab(hosted=True)
    hosted.run(asked(), visitor="anna")
    hosted.search(visitor="anna")
    assert looked == [24.0]
    make_lab(database="duckdb:///:memory:")
    assert looked == [24.0], "not outside hosted mode"


def test_pinning_is_refused(hosted: Lab) -> None:
    run = hosted.run(asked(), visitor="anna")
    with pytest.raises(UserError, match="pin is not offered"):
        hosted.pin(run.id)


def test_queries_see_shared_runs_only(make_lab: MakeLab) -> None:
    local = make_lab()
    local.run(asked("shared"))
    local.close()
    hosted = make_lab(hosted=True)
    hosted.run(asked("secret"), visitor="anna")
    texts = hosted.query("SELECT text FROM runs").column("text").to_pylist()
    assert texts == ["shared"]
    with pytest.raises(UserError):
        hosted.query("DELETE FROM runs")


def test_visitors_at_once_never_get_each_others_runs(make_lab: MakeLab) -> None:
    hosted = make_lab(hosted=True, queue_size=64)
    failures: list[str] = []

    def work(visitor: str, start: int) -> None:
        for turn in range(6):
            run = hosted.run(asked(f"text {(start + turn) % 4}"), visitor=visitor)
            listed = hosted.search(visitor=visitor)
            owners = {run.owner, *(record.owner for record in listed)}
            if owners != {visitor} or run.id not in {record.id for record in listed}:
                failures.append(f"{visitor} saw {owners}")

    threads = [
        threading.Thread(target=work, args=(("anna", "bert")[n % 2], n), daemon=True)
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert failures == []
    assert len(hosted.search(visitor="anna")) == len(hosted.search(visitor="bert")) == 4
