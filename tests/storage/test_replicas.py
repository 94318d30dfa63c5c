"""Several replicas of the program on one PostgreSQL database."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, text

from tokenarium.backend import Cancelled, Lab, Settings, TraceRequest, UserError
from tokenarium.backend.runs.events import CancelToken, Finished, Progress
from tokenarium.backend.runs.model_queue import ModelQueue
from tokenarium.backend.runs.places import Limits
from tokenarium.backend.runs.replicas import ELSEWHERE
from tokenarium.storage import DatabaseGone, RunStore, StoreError
from tokenarium.storage.again import done_again


@pytest.fixture
def address(postgresql):
    made = postgresql.new()
    yield made
    postgresql.drop(made)


@pytest.fixture
def two(address):
    """Two stores on one database."""
    with RunStore(address) as one, RunStore(address) as other:
        yield one, other


def test_replicas_that_begin_together_make_the_tables_once(address):
    begin = threading.Barrier(4)

    def opened(_):
        begin.wait()
        return RunStore(address)

    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(opened, range(4)))
    assert [store.upgraded for store in stores] == [""] * 4
    assert [store.search() for store in stores] == [[]] * 4
    for store in stores:
        store.close()


def test_one_replica_at_a_time_has_a_key_and_others_give_up_or_go_on(two):
    one, other = two
    asked = []

    def waiting():
        asked.append(1)
        if len(asked) == 2:
            raise Cancelled("enough")

    with one.computing("k", "", waiting):
        with pytest.raises(Cancelled), other.computing("k", "", waiting):
            pass
        with other.computing("another", "", waiting), other.computing("k", "visitor", waiting):
            pass
    assert len(asked) == 2
    with other.computing("k", "", waiting):
        pass


def test_a_replica_that_dies_leaves_its_key_to_others(two, address):
    one, other = two
    engine = create_engine(address)

    def killed():
        with engine.begin() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_locks "
                    "WHERE locktype = 'advisory' AND granted"
                )
            )

    with one.computing("k", "", killed):
        reached = False
        with other.computing("k", "", killed):
            reached = True
    engine.dispose()
    assert reached


def test_replicas_that_save_pin_and_join_at_once_lose_nothing(two, make_record):
    now = datetime.now(UTC)
    two[0].classes.add("code", "digest", "title", now)
    noise = np.random.default_rng(0).random(500)

    def work(number):
        store = two[number % 2]
        store.save(make_record(id="example"), {}, {"a": noise}, replace=True)
        store.save(make_record(id=f"run-{number}", key=f"{number}"), {}, {"a": noise})
        store.set_tags(f"run-{number}", ["x"])
        store.remember_digest("/one/file", number, number, "d")
        return store.classes.member("code", f"student-{number}", 60)

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(work, range(8)))
    assert sorted(numbers) == list(range(1, 9))
    assert len(two[1].search()) == 9
    assert all(two[0].record(f"run-{number}").tags == ("x",) for number in range(8))
    assert two[1].arrays("example")["a"].tolist() == noise.tolist()


def test_places_are_counted_over_all_replicas_and_outlive_none(two, postgresql):
    one, other = two
    first, second = one.take_place("a visitor", 2), other.take_place("a visitor", 2)
    assert first is not None
    assert second is not None
    assert one.take_place("a visitor", 2) is None
    assert other.take_place("a visitor", 2) is None
    assert other.take_place("another", 1) is not None
    first()
    first()  # given back once
    assert other.take_place("a visitor", 2) is not None
    postgresql.stop("fast")
    assert one.take_place("a visitor", 2) is not None, "a server that is away limits nothing"
    postgresql.start()
    assert other.take_place("another", 1) is None, "what a replica had, it has again"
    other.close()
    assert one.take_place("another", 1) is not None


def test_a_visitor_has_a_few_requests_at_all_replicas_together(two):
    queues = [ModelQueue(8, Limits(per_owner=2), elsewhere=store.take_place) for store in two]
    places = [queue.join("model", "visitor") for queue in queues]
    for queue in queues:
        with pytest.raises(UserError, match=r"2 requests of yours .* another replica, and 2 are"):
            queue.join("model", "visitor")
        queue.leave(queue.join("model", "somebody else"))
    queues[0].leave(places[0])
    queues[1].leave(queues[1].join("model", "visitor"))


def test_a_server_that_was_restarted_is_found_again(two, make_record, postgresql):
    two[0].save(make_record(id="a", key="k"), {}, {})
    postgresql.stop("fast")
    assert two[0].why_no_answer() == "the run store does not answer"
    postgresql.start()
    assert two[0].why_no_answer() == ""
    assert two[1].find("k").id == "a"


def test_a_run_is_kept_although_the_server_is_restarted_meanwhile(two, make_record, postgresql):
    postgresql.stop("immediate")
    with ThreadPoolExecutor(1) as pool:
        saved = pool.submit(two[0].save, make_record(id="a", key="k"), {}, {"x": np.arange(3)})
        time.sleep(0.2)
        assert not saved.done()
        postgresql.start()
        assert saved.result(30) == []
    assert two[1].find("k").id == "a"
    assert two[1].arrays("a")["x"].tolist() == [0, 1, 2]


def test_a_server_that_stays_away_is_named_to_nobody(
    two, make_record, postgresql, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tokenarium.storage.again.AGAIN_S", 0.0)
    two[0].save(make_record(id="a"), {}, {})
    postgresql.stop("fast")
    try:
        for ask in (
            lambda: two[0].record("a"),
            lambda: two[1].search(),
            lambda: two[0].pin("a", True),
            lambda: two[0].save(make_record(id="b"), {}, {}),
        ):
            with pytest.raises(StoreError, match="the connection was lost: try again") as failed:
                ask()
            assert str(postgresql._folder) not in str(failed.value)
            assert "socket" not in str(failed.value)
    finally:
        postgresql.start()
    assert two[1].record("a").id == "a"


def test_what_was_kept_although_its_answer_was_lost_is_not_kept_twice():
    kept = []

    def work():
        kept.append(1)
        raise DatabaseGone

    assert done_again(work, lambda: "kept", pause=0) == "kept"
    assert kept == [1]
    with pytest.raises(DatabaseGone):
        done_again(work, lambda: None, seconds=0.05, pause=0.01)
    assert len(kept) > 2


def test_the_same_request_at_two_replicas_is_computed_once(
    address, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tokenarium.backend.runs.examples.FOLDER", tmp_path)
    settings = Settings(database=address, device="cpu", fetch=False)
    asked = TraceRequest(model="bundled/target", text="Once upon a time")
    outcomes, waits = [], threading.Event()
    with Lab(settings) as one, Lab(settings) as other:
        for lab in (one, other):
            lab._executor.observers.add(lambda run: outcomes.append(run.outcome))
        save = one._repository.save

        def late(*given, **named):  # until the other replica waits for this one
            assert waits.wait(30)
            return save(*given, **named)

        monkeypatch.setattr(one._repository, "save", late)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(one.run, asked)
            _until_locked(address)
            stopped = CancelToken()
            for event in other.stream(asked, cancel=stopped):
                if isinstance(event, Progress) and event.doing == ELSEWHERE:
                    waits.set()
            assert isinstance(event, Finished)
            assert event.run.id == first.result().id
    assert sorted(outcomes) == ["computed", "stored"]


def _until_locked(address):
    engine = create_engine(address, isolation_level="AUTOCOMMIT")
    held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")
    with engine.connect() as connection:
        while not connection.scalar(held):
            threading.Event().wait(0.02)
    engine.dispose()
