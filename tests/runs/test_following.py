"""A run belongs to the executor and its visitor: it goes on without a reader, is found again."""

from collections.abc import Callable

import pytest

from tests.runs.conftest import MODEL, until
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs import jobs
from tokenarium.backend.runs.events import (
    Cancelled,
    CancelToken,
    Event,
    Finished,
    Partial,
    Progress,
    Queued,
)
from tokenarium.backend.runs.jobs import Job, RunTicket, ticket
from tokenarium.backend.runs.lab import Lab

MakeLab = Callable[..., Lab]


def asked(text: str = "one", **values: object) -> CountRequest:
    return CountRequest(model=values.pop("model", MODEL), text=text, **values)


def ended(lab: Lab, ticket: RunTicket, visitor: str = "") -> None:
    until(lambda: ticket not in lab.running(visitor))


def last(events: object) -> Event:
    return list(events)[-1]


def test_started_run_goes_on_without_a_reader_and_has_the_id_of_its_ticket(lab: Lab) -> None:
    begun = lab.start(asked())
    assert not begun.stored
    assert begun.request == asked()
    ended(lab, begun)
    run = lab.open(begun.id)
    assert run.result.layers_done == 3
    [event] = lab.follow(begun.id)
    assert isinstance(event, Finished)
    assert event.run.id == begun.id
    assert lab.run(asked()).id == begun.id


def test_started_run_that_is_stored_is_told_at_once(lab: Lab, watch: Watch) -> None:
    stored = lab.run(asked())
    begun = lab.start(asked())
    assert begun == RunTicket(stored.id, asked(), stored.created, stored=True)
    assert lab.running() == ()
    assert last(lab.follow(begun.id)).run.id == stored.id
    assert watch.calls == ["one"]


def test_readers_come_and_go_and_each_gets_the_latest_and_the_end(lab: Lab, watch: Watch) -> None:
    begun = lab.start(asked(steps=40, pause_ms=10))
    assert lab.running() == (begun,)
    early = lab.follow(begun.id)
    until(lambda: isinstance(next(early), Partial))
    early.close()
    until(lambda: watch.steps > 5)
    late, later = lab.follow(begun.id), lab.follow(begun.id)
    newest = {type(event): event for event in (next(late), next(late))}
    assert newest[Progress].done >= 4
    assert newest[Partial].result.layers_done >= 4
    assert isinstance(next(later), Progress | Partial)
    assert {last(late).run.id, last(later).run.id} == {begun.id}
    assert watch.calls == ["one"]
    assert watch.steps == 40


def test_follower_of_a_waiting_run_is_told_its_place(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    first = lab.start(asked("first"))
    until(lambda: watch.calls == ["first"])
    second = lab.start(asked("second"))
    assert next(lab.follow(second.id)) == Queued(1)
    assert next(lab.follow(second.id)) == Queued(1), "also the second who asks"
    assert lab.running() == (first, second)
    watch.gate.set()
    assert isinstance(last(lab.follow(second.id)), Finished)


def test_what_ended_a_run_is_told_whenever_it_is_asked_for_ten_minutes(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = lab.start(asked(fail="value"))
    with pytest.raises(UserError, match="steps=3 is odd"):
        list(lab.follow(begun.id))
    ended(lab, begun)
    for _ in range(2):
        with pytest.raises(UserError, match="steps=3 is odd"):
            list(lab.follow(begun.id))
    monkeypatch.setattr(jobs, "KEPT_S", 0.0)
    with pytest.raises(UserError, match="is not stored"):
        list(lab.follow(begun.id))


def test_cancel_stops_a_started_run_and_says_so_to_all_who_follow(lab: Lab, watch: Watch) -> None:
    begun = lab.start(asked(steps=1000, pause_ms=5))
    events = lab.follow(begun.id)
    until(lambda: isinstance(next(events), Partial))
    assert lab.cancel(begun.id)
    with pytest.raises(Cancelled):
        list(events)
    ended(lab, begun)
    assert watch.steps < 1000
    assert not lab.cancel(begun.id), "it has ended"
    assert not lab.cancel("nowhere")
    with pytest.raises(Cancelled):
        list(lab.follow(begun.id))
    assert lab.search() == []


def test_cancel_takes_a_waiting_run_out_of_the_queue(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    first = lab.start(asked("first"))
    until(lambda: watch.calls == ["first"])
    second = lab.start(asked("second"))
    assert lab.waiting(MODEL) == 1
    assert lab.cancel(second.id)
    until(lambda: lab.waiting(MODEL) == 0)
    watch.gate.set()
    ended(lab, first)
    assert watch.calls == ["first"]


def test_the_same_question_at_once_has_one_ticket(lab: Lab, watch: Watch) -> None:
    watch.gate.clear()
    first, again = lab.start(asked()), lab.start(asked())
    other = lab.start(asked(steps=4))
    assert again == first != other
    watch.gate.set()
    ended(lab, other)
    assert watch.calls == ["one", "one"]


def test_only_its_visitor_may_follow_list_or_cancel_a_run(make_lab: MakeLab, watch: Watch) -> None:
    hosted = make_lab(hosted=True)
    watch.gate.clear()
    anna = hosted.start(asked(), visitor="anna")
    bert = hosted.start(asked(), visitor="bert")
    assert anna.id != bert.id
    assert hosted.running("anna") == (anna,)
    assert hosted.running("bert") == (bert,)
    with pytest.raises(UserError, match="is not yours"):
        hosted.cancel(anna.id, visitor="bert")
    with pytest.raises(UserError, match="is not yours"):
        next(hosted.follow(anna.id, visitor="bert"))
    for ask in (hosted.running, lambda: hosted.cancel(anna.id), lambda: hosted.start(asked())):
        with pytest.raises(UserError, match="visitor=''"):
            ask()
    assert hosted.cancel(anna.id, visitor="anna")
    ended(hosted, anna, "anna")
    with pytest.raises(UserError, match="is not yours"):
        next(hosted.follow(anna.id, visitor="bert"))
    watch.gate.set()
    assert last(hosted.follow(bert.id, visitor="bert")).run.owner == "bert"


def test_limits_of_hosted_mode_hold_for_started_runs(make_lab: MakeLab, watch: Watch) -> None:
    hosted = make_lab(hosted=True, hosted_requests=1, hosted_max_seconds=0.2, queue_size=1)
    watch.gate.clear()
    begun = hosted.start(asked(), visitor="anna")
    with pytest.raises(UserError, match="1 of your requests"):
        hosted.start(asked("two"), visitor="anna")
    hosted.start(asked("two"), visitor="bert")
    with pytest.raises(UserError, match="busy: 1 requests are waiting"):
        hosted.start(asked("three"), visitor="carl")
    with pytest.raises(Cancelled, match=r"longer than the 0\.2 seconds allowed"):
        list(hosted.follow(begun.id, visitor="anna"))
    with pytest.raises(UserError, match="local/tiny"):
        hosted.start(asked(model="openai-community/gpt2"), visitor="anna")


def test_run_of_a_stream_goes_on_once_somebody_has_its_ticket(lab: Lab, watch: Watch) -> None:
    events = lab.stream(asked(steps=60, pause_ms=5))
    until(lambda: isinstance(next(events), Partial))
    begun = lab.start(asked(steps=60, pause_ms=5))
    events.close()
    assert last(lab.follow(begun.id)).run.id == begun.id
    assert watch.calls == ["one"]


def test_nobody_gets_a_ticket_for_a_run_that_its_reader_left(lab: Lab) -> None:
    job = Job(ticket("a", asked()), "", CancelToken(), kept=False)
    job.left()
    assert job.cancel.cancelled
    assert not job.keep()
    kept = Job(ticket("b", asked()), "", CancelToken(), kept=True)
    kept.left()
    assert not kept.cancel.cancelled
    kept.cancel.cancel()
    assert not kept.keep()


def test_answer_that_another_run_stored_is_found_under_the_ticket(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = lab.run(asked())
    known, tries = lab._registry.fingerprint, []

    def fingerprint(source: object, *most: int) -> str | None:
        tries.append(source)  # not known before the model is on this machine
        return None if len(tries) == 1 else known(source, *most)

    monkeypatch.setattr(lab._registry, "fingerprint", fingerprint)
    begun = lab.start(asked())
    assert not begun.stored
    finished = last(lab.follow(begun.id))
    assert finished.run.id == begun.id != stored.id
    ended(lab, begun)
    assert lab.open(begun.id).result.counts.tolist() == stored.result.counts.tolist()
    assert watch.calls == ["one"]


def test_run_that_could_not_be_stored_can_be_followed_after_its_end(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenarium.storage import StoreError

    def full(*_: object, **__: object) -> list[str]:
        raise StoreError("the disk is full")

    monkeypatch.setattr(lab._repository.store, "save", full)
    begun = lab.start(asked())
    ended(lab, begun)
    run = last(lab.follow(begun.id)).run
    assert run.id == begun.id
    assert "the disk is full" in run.environment["storage"]


def test_close_stops_started_runs(make_lab: MakeLab, watch: Watch) -> None:
    lab = make_lab()
    lab.start(asked(steps=10_000, pause_ms=5))
    until(lambda: watch.steps > 0)
    lab.close()
    assert watch.stopped.wait(5)
    assert watch.steps < 10_000
