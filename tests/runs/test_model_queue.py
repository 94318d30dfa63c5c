import threading

import pytest

from tests.runs.conftest import until
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import Cancelled, CancelToken
from tokenarium.backend.runs.model_queue import ModelQueue
from tokenarium.backend.runs.places import Limits
from tokenarium.backend.runs.visitor import Visitor


class Holder(threading.Thread):
    """Takes a turn, and holds it until told to let go."""

    def __init__(self, lanes: ModelQueue, name: str = "model", owner: str = "") -> None:
        super().__init__(daemon=True)
        self.lanes, self.lane, self.owner = lanes, name, owner
        self.cancel = CancelToken()
        self.places: list[int] = []
        self.has_turn = threading.Event()
        self.let_go = threading.Event()
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            with self.lanes.turn(
                self.lanes.join(self.lane, self.owner), self.cancel, self.places.append
            ):
                self.has_turn.set()
                self.let_go.wait(10)
        except (UserError, Cancelled) as error:
            self.error = error

    def waits_at(self, place: int) -> "Holder":
        until(lambda: self.places and self.places[-1] == place)
        return self


def test_turn_goes_first_come_first_served_and_places_count_down() -> None:
    lanes = ModelQueue(4)
    first = Holder(lanes)
    assert first.has_turn.wait(5)
    second = Holder(lanes).waits_at(1)
    third = Holder(lanes).waits_at(2)
    assert lanes.waiting("model") == lanes.waiting() == 2
    assert not second.has_turn.is_set()
    first.let_go.set()
    assert second.has_turn.wait(5)
    third.waits_at(1)
    assert not third.has_turn.is_set()
    second.let_go.set()
    assert third.has_turn.wait(5)
    assert (first.places, second.places, third.places) == ([], [1], [2, 1])
    third.let_go.set()
    third.join(5)
    assert lanes.waiting() == 0


def test_turn_of_another_lane_is_free() -> None:
    lanes = ModelQueue(1)
    first, other = Holder(lanes, "one"), Holder(lanes, "two")
    assert first.has_turn.wait(5)
    assert other.has_turn.wait(5)
    first.let_go.set()
    other.let_go.set()


def test_turn_is_refused_when_the_queue_is_full() -> None:
    lanes = ModelQueue(1)
    first = Holder(lanes)
    assert first.has_turn.wait(5)
    Holder(lanes).waits_at(1)
    with pytest.raises(UserError, match=r"busy: 1 requests are waiting and the queue holds 1"):
        lanes.join("model")
    assert lanes.waiting() == 1


def test_turn_is_refused_over_the_limit_of_one_owner_only() -> None:
    lanes = ModelQueue(8, Limits(per_owner=2))
    mine = Holder(lanes, owner="me")
    assert mine.has_turn.wait(5)
    Holder(lanes, owner="me").waits_at(1)
    with pytest.raises(UserError, match="2 of your requests"):
        lanes.join("elsewhere", "me")
    Holder(lanes, owner="you").waits_at(1)  # whose turn comes before a second one of mine
    Holder(lanes).waits_at(2)
    Holder(lanes).waits_at(4)
    Holder(lanes).waits_at(5)


def test_turn_cancelled_while_waiting_moves_the_others_up() -> None:
    lanes = ModelQueue(4)
    first = Holder(lanes)
    assert first.has_turn.wait(5)
    second = Holder(lanes).waits_at(1)
    third = Holder(lanes).waits_at(2)
    second.cancel.cancel("changed my mind")
    second.join(5)
    assert isinstance(second.error, Cancelled)
    assert str(second.error) == "changed my mind"
    third.waits_at(1)
    first.let_go.set()
    assert third.has_turn.wait(5)
    third.let_go.set()


def test_turn_is_given_back_when_its_holder_fails() -> None:
    lanes = ModelQueue(1)
    with (
        pytest.raises(RuntimeError),
        lanes.turn(lanes.join("model"), CancelToken(), lambda _: None),
    ):
        raise RuntimeError
    with lanes.turn(lanes.join("model"), CancelToken(), lambda _: None):
        assert lanes.waiting() == 0


def visitor(name: str, address: str = "a", *, known: bool = True, group: str = "") -> Visitor:
    return Visitor(name, address, known=known, group=group)


def test_a_new_name_for_each_request_wins_nothing() -> None:
    lanes = ModelQueue(64, Limits(per_owner=4, per_address=8, per_unknown=2))
    for number in range(2):
        lanes.join("model", visitor(f"new {number}", known=False))
    for number in range(24):
        with pytest.raises(UserError, match="2 requests of visitors who are new here"):
            lanes.join("model", visitor(f"newer {number}", known=False))
    honest = lanes.join("model", visitor("honest"))
    assert list(lanes._queue["model"]).index(honest) == 1  # next, before the second of the new
    lanes.join("model", visitor("new elsewhere", "b", known=False))


def test_an_address_has_its_part_and_its_turn_among_addresses() -> None:
    lanes = ModelQueue(64, Limits(per_owner=4, per_address=8, per_unknown=2))
    for number in range(8):
        lanes.join("model", visitor(f"greedy {number}"))
    with pytest.raises(UserError, match="8 requests of your address"):
        lanes.join("model", visitor("greedy 9"))
    honest = lanes.join("model", visitor("honest", "b"))
    assert list(lanes._queue["model"]).index(honest) == 1
    for _ in range(6):  # whoever comes back waits for one run of the others at most
        lanes.leave(lanes._queue["model"][0])
        if lanes._queue["model"][0] is honest:
            lanes.leave(honest)
            honest = lanes.join("model", visitor("honest", "b"))
        assert list(lanes._queue["model"]).index(honest) <= 1


def test_what_is_kept_of_turns_is_bounded() -> None:
    lanes = ModelQueue(8, Limits(per_owner=4))
    for number in range(6_000):
        lanes.leave(lanes.join("model", visitor(f"v{number}", f"a{number}")))
    assert len(lanes._turns) <= 4_096
    assert not lanes._came
    assert not lanes._queue


def test_a_class_behind_one_address_has_an_allowance_of_its_own() -> None:
    lanes = ModelQueue(
        3, Limits(per_owner=1, per_address=2, per_unknown=1, per_class=20, classes=30)
    )
    for number in range(20):  # more than the address, or the queue, has room for
        lanes.join("model", visitor(f"student {number}", known=False, group="ABCDEF"))
    with pytest.raises(UserError, match="20 requests of your class"):
        lanes.join("model", visitor("student 21", "b", group="ABCDEF"))
    with pytest.raises(UserError, match="1 of your requests"):
        lanes.join("model", visitor("student 3", group="ABCDEF"))
    for number in range(10):
        lanes.join("model", visitor(f"other {number}", "c", group="GHJKMN"))
    with pytest.raises(UserError, match="30 requests of classes"):
        lanes.join("model", visitor("other 11", "c", group="GHJKMN"))
    honest = lanes.join("model", visitor("honest"))  # of the same address, in no class
    assert list(lanes._queue["model"]).index(honest) <= 2  # a class has one turn, as an address has
    lanes.join("model", visitor("another"))
    with pytest.raises(UserError, match="2 requests of your address"):
        lanes.join("model", visitor("a third"))
