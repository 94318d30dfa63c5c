"""What is computed beside the thread that asks: found once, failing in words, cancelled within."""

import threading

import pytest

from tokenarium.backend import UserError
from tokenarium.backend.runs.computations import MOST, Computations
from tokenarium.backend.runs.events import current_cancel


def until_cancelled() -> int:
    cancel = current_cancel()
    assert cancel is not None
    while True:
        cancel.check()
        threading.Event().wait(0.005)


def test_what_is_found_is_given_once() -> None:
    go = threading.Event()
    computations = Computations[int]()
    name = computations.begin(lambda: go.wait() and 7)
    assert computations.found(name, 0) is None
    go.set()
    assert computations.found(name, 10) == 7
    with pytest.raises(UserError, match="no longer here"):
        computations.found(name, 0)


def test_cancel_is_heard_within() -> None:
    computations = Computations[int]()
    name, other = computations.begin(until_cancelled), computations.begin(until_cancelled)
    assert computations.found(name, 0.02) is None
    assert computations.cancel(name)
    with pytest.raises(UserError, match="cancelled"):
        computations.found(name, 10)
    assert computations.found(other, 0.02) is None  # of another it is not
    assert computations.cancel(other)
    assert not computations.cancel("nothing")


@pytest.mark.parametrize("error", [UserError("too long"), TimeoutError("its own")])
def test_an_error_is_that_of_the_computation(error: Exception) -> None:
    def fail() -> int:
        raise error

    computations = Computations[int]()
    name = computations.begin(fail)
    with pytest.raises(type(error), match=str(error)):
        computations.found(name, 10)


def test_more_than_so_many_are_refused_and_old_ones_forgotten() -> None:
    computations = Computations[int]()
    running = [computations.begin(until_cancelled) for _ in range(MOST)]
    with pytest.raises(UserError, match="16 computations are going on"):
        computations.begin(until_cancelled)
    for name in running:
        computations.cancel(name)
    with pytest.raises(UserError, match="cancelled"):
        computations.found(running[0], 10)
    again = computations.begin(lambda: 3)
    assert computations.found(again, 10) == 3
