"""What is kept of a session: nothing of what its events answered."""

import gc
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.labs import shipped_store
from tests.ui.served import serving
from tokenarium.backend import Settings
from tokenarium.ui.shell.sessions import MOST_SESSIONS, LeanSession

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
