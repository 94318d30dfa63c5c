"""What is done with an answer: it stays with no session, and is not searched for files."""

import gc
import json
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gradio import processing_utils
from gradio_client import utils as client_utils

from tests.labs import shipped_store
from tests.ui.served import serving
from tokenarium.backend import Settings
from tokenarium.ui.shell.sessions import MOST_SESSIONS, LeanSession
from tokenarium.ui.shell.unread import Mailboxes
from tokenarium.ui.shell.without_files import Answer

RUN = "example-first-token"
FILE = {"path": "a", "url": "/file=a", "meta": {"_type": "gradio.FileData"}}
MOST_LOOKED_AT = 2_000
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


def ask(served: SimpleNamespace, name: str, **asked: Any) -> dict[str, Any]:
    """Return the last of what an endpoint answers."""
    event = served.http.post(f"/gradio_api/call/v2/{name}", json=asked).json()["event_id"]
    told = served.http.get(f"/gradio_api/call/{name}/{event}").text
    lines = [line for line in told.splitlines() if line[:7] in ("data: [", "data: {")]
    found = json.loads(lines[-1].removeprefix("data: "))
    return found[0] if isinstance(found, list) else found


@pytest.mark.parametrize("name", ["run", "trace"])
def test_the_numbers_of_an_answer_are_not_looked_at(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    looked, is_file = [0], client_utils.is_file_obj_with_meta

    def counted(each: object) -> bool:
        looked[0] += 1
        return is_file(each)

    monkeypatch.setattr(client_utils, "is_file_obj_with_meta", counted)
    new = {"model": "bundled/target", "text": TEXT}
    found = ask(served, name, **({"run_id": RUN} if name == "run" else new))
    found = found if name == "run" else found["run"]
    assert looked[0] < MOST_LOOKED_AT
    expected = served.lab.content(found["id"])
    assert len(json.dumps(expected["values"])) > 100_000
    assert found["values"] == json.loads(json.dumps(expected["values"]))


def test_files_of_anything_else_are_completed_as_before() -> None:
    root = "http://here"
    assert processing_utils.add_root_url([FILE, {"deep": [FILE]}], root, None) == [
        {**FILE, "url": "http://here/file=a"},
        {"deep": [{**FILE, "url": "http://here/file=a"}]},
    ]
    answer = Answer(run=[FILE])
    assert processing_utils.add_root_url([answer], root, None)[0] is answer
