"""How many workers there are, and whose turn it is."""

import threading

import pytest

from tests.runs.conftest import until
from tests.runs.fake_workers import FakeWorker
from tokenarium.backend.scale.replicas import Bounds, Replicas


def lend(replicas: Replicas, name: str, places: list[int] | None = None) -> object:
    return replicas.lend(name, lambda: None, (places if places is not None else []).append)


class Started:
    """What ``Replicas`` starts: a name that may be ended."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.ended: list[str] = []

    def __call__(self, name: str) -> object:
        self.names.append(name)
        outer = self

        class Named:
            def end(self) -> None:
                outer.ended.append(name)

        return Named()


def test_workers_are_kept_to_their_bounds_and_make_room() -> None:
    started = Started()
    replicas = Replicas(started, Bounds(most=2, least_each=0, most_each=2, idle_s=60))  # type: ignore[arg-type]
    with lend(replicas, "a"), lend(replicas, "b"):
        assert replicas.count() == 2
    with lend(replicas, "a"):
        assert started.names == ["a", "b"], "one that is free is taken again"
        with lend(replicas, "c"):
            assert started.ended == ["b"], "what was idle makes room"
    got, places = threading.Event(), []

    def wait() -> None:
        with lend(replicas, "d", places):
            got.set()

    with lend(replicas, "a"), lend(replicas, "c"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: places == [1])
        late = threading.Event()
        threading.Thread(target=lambda: lend(replicas, "a").__enter__() and late.set()).start()
        assert not got.wait(0.1)
    assert got.wait(5)
    waiting.join()
    until(late.is_set)
    replicas.close()
    assert sorted(started.ended) == sorted(started.names)


def test_a_model_with_all_its_workers_keeps_no_other_waiting() -> None:
    started = Started()
    replicas = Replicas(started, Bounds(most=3, least_each=0, most_each=1, idle_s=60))  # type: ignore[arg-type]
    places: list[int] = []

    def wait() -> None:
        with lend(replicas, "a", places):
            pass

    waiting = threading.Thread(target=wait)
    with lend(replicas, "a"):
        waiting.start()
        until(lambda: places == [1])
        with lend(replicas, "b"):
            assert started.names == ["a", "b"]
    waiting.join(5)
    assert started.names == ["a", "b"]


def test_idle_workers_end_but_for_the_least() -> None:
    started = Started()
    replicas = Replicas(started, Bounds(most=4, least_each=1, most_each=2, idle_s=0.05))  # type: ignore[arg-type]
    with lend(replicas, "a"), lend(replicas, "a"):
        pass
    until(lambda: replicas.count("a") == 1)
    assert started.ended == ["a"]


def test_a_worker_that_cannot_start_leaves_no_place_taken() -> None:
    def fail(name: str) -> FakeWorker:
        raise RuntimeError(name)

    replicas = Replicas(fail, Bounds(most=1, least_each=0, most_each=1, idle_s=60))
    for _ in range(2):
        with pytest.raises(RuntimeError), lend(replicas, "a"):
            pass
    assert replicas.count() == 0
