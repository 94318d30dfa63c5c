"""The figures of a load test, from requests made by hand."""

from tests.load.asking import Asked, _take
from tests.load.figures import Checked, table


def asked(kind: str, visitor: str, seconds: float, **more: object) -> Asked:
    made = Asked(kind, visitor, "text", began=10.0, ended=10.0 + seconds, run={"id": "r"})
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_table_counts_what_visitors_saw() -> None:
    requests = [
        *(asked("open", "a", number / 100) for number in range(1, 101)),
        asked("endpoint", "a", 0.25),
        asked("trace", "b", 1.0, places=[3, 2, 1]),
        asked("trace", "b", 3.0, tried_again=True),
        asked("trace", "c", 8.0, not_stored="not stored, so its link will not work"),
        asked("trace", "c", 9.0, run=None, refused="busy: 4 requests of yours"),
        asked("sweep", "d", 9.0, run=None, broken="ReadError"),
    ]
    found = table(requests, Checked(7, 0, 1, 2), {"a replica": [1, 2, 3, 9, 5, 6]}, ["killed"])
    for row in (
        "0, 1, 2",
        "505 / 950 / 990 of 100",
        "250 / 250 / 250 of 1",
        "3,000 / 7,500 / 7,900 of 3",
        "none answered",
        "| 1, 3 |",
        "| 1; 1 ReadError |",
        "2.0 / 5.0 / 8.0 of 2",
        "| 2, 6 |",
        "| killed |",
    ):
        assert row in found, row
    said = next(line for line in found.splitlines() if "they are not stored" in line)
    assert said.split("|")[2].strip() == "1"


def test_what_is_said_of_a_request_is_taken_by_what_it_is() -> None:
    one = Asked("trace", "a", "text", 0.0)
    _take(one, "generating", [{"event": "queued", "place": 2}])
    _take(one, "generating", [{"event": "progress", "doing": "layers (second try, as ...)"}])
    assert (one.places, one.tried_again, one.run) == ([2], True, None)
    _take(one, "complete", [{"event": "finished", "run": {"id": "r"}}])
    assert one.run == {"id": "r"}
    two = Asked("endpoint", "a", "text", 0.0)
    _take(two, "complete", [{"id": "s", "values": {}}])
    _take(two, "error", None)
    assert (two.run, two.refused) == ({"id": "s", "values": {}}, "null")
