"""What is kept of a session: nothing of what its events answered."""

import gc
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.labs import shipped_store
from tests.ui.served import serving
from tokenarium.backend import Settings
from tokenarium.ui.shell.sessions import MOST_SESSIONS, LeanSession
from tokenarium.ui.shell.unread import Mailboxes

TEXT = "The old king saw it, and went on. " * 20


@pytest.fixture(scope="module")
def served() -> Iterator[SimpleNamespace]:
    settings = Settings(database=shipped_store(), device="cpu", hosted=False, fetch=False)
    with serving(settings) as app:
        yield app


def held(thing: object) -> int:
    """Return bytes of everything that is reached from ``thing`` by containers alone."""
    seen: dict[int, object] = {}
    waiting = [thing]
    while waiting:
        each = waiting.pop()
        if id(each) not in seen and isinstance(each, dict | list | tuple | str | bytes | set):
            seen[id(each)] = each
            waiting += gc.get_referents(each)
    return sum(map(sys.getsizeof, seen.values()))


def test_an_answer_stays_with_no_session(served: SimpleNamespace) -> None:
    asked = {"model": "bundled/target", "text": TEXT}
    began = served.http.post("/gradio_api/call/v2/trace", json=asked)
    place = f"/gradio_api/call/trace/{began.json()['event_id']}"
    answer = served.http.get(place).text
    assert len(answer) > 100_000
    holder = served.blocks.state_holder
    assert holder.capacity == MOST_SESSIONS
    assert holder.session_data
    for session in holder.session_data.values():
        assert isinstance(session, LeanSession)
        assert not session.config_values
        assert held(vars(session)) < 100_000


def test_answers_that_nobody_fetches_hold_little(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = served.blocks._queue.pending_messages_per_session
    assert isinstance(boxes, Mailboxes)
    monkeypatch.setattr(boxes, "_most_bytes", 1_000_000)

    def asked(number: int) -> str:
        text = {"model": "bundled/target", "text": f"{number} {TEXT}"}
        event = served.http.post("/gradio_api/call/v2/trace", json=text).json()["event_id"]
        end = time.monotonic() + 60
        while not (event in boxes and boxes[event].whole) and time.monotonic() < end:
            time.sleep(0.02)
        return f"/gradio_api/call/trace/{event}"

    places = [asked(number) for number in range(3)]
    assert sum(bool(box.bytes) for box in boxes.values()) == 1
    assert '"finished"' in served.http.get(places[-1]).text
    assert boxes.bytes == 0
    gone = served.http.get(places[0])
    assert gone.status_code == 404
    assert "waited too long" in gone.json()["detail"]
