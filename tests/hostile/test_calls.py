"""Odd calls of every function of a running server end as an answer or as words."""

import json
import logging
import random
import time
from asyncio import Queue
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.server_messages import HeartbeatMessage

from tests.hostile.server_functions import SECRET, answer, functions, known_values, questions
from tests.labs import shipped_store
from tests.ui.served import serving
from tokenarium.backend import Lab, Settings, SpeculateRequest, TraceRequest, UserError

API = "/gradio_api"
QUESTIONS = 80
CALLS = 24
"""Functions that are called, of some 75."""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, 2**70, 0.5, "", " ", SECRET, "\ud800" + SECRET, "\0"),
    *([], {}, [[]], [None], {"": None}, {"a": [SECRET]}, [SECRET] * 3, "x" * 300, "../" * 90),
    *({"visitor": 5}, {"run": "\ud800"}, {"runs": {"run": SECRET}}, {"runs": []}, "local/\0"),
    *({"zoom": [1]}, {"point": 1e9}, {"point": -1}, {"__type__": "update", "value": 1}),
    *({"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "'; DROP TABLE runs; --"),
)


@pytest.fixture(scope="module", params=[False, True], ids=["local", "hosted"])
def served(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    settings = Settings(database=shipped_store(), device="cpu", hosted=request.param, fetch=False)
    with serving(settings) as app:
        yield app


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def call(served: SimpleNamespace, index: int, data: list[Any], session: str) -> str:
    """Call a function as a page does; return what is wrong with the answer, or nothing."""
    fn = served.blocks.fns[index]
    body = json.dumps({"fn_index": index, "data": data, "session_hash": session})
    headers = {"content-type": "application/json", "cookie": f"tokenarium_visitor={'a' * 32}"}
    path = "queue/join" if fn.queue else "run/predict"
    told = served.http.post(f"{API}/{path}", content=body, headers=headers)
    if not fn.queue:
        if told.status_code == 200:
            return ""
        return "" if told.json().get("error") else f"{told.status_code} {told.text[:200]}"
    if told.status_code != 200:
        return "" if told.json().get("detail") else f"{told.status_code} {told.text[:200]}"
    address = f"{API}/queue/data?session_hash={session}"
    with served.http.stream("GET", address, timeout=60) as stream:
        for line in stream.iter_lines():
            message = json.loads(line[5:]) if line.startswith("data:") else {}
            if message.get("msg") == "process_completed":
                words = message["success"] or message["output"].get("error")
                return "" if words else line[:300]
    return "the answer has no end"


def test_odd_values_end_in_words_and_stay_out_of_the_log(
    served: SimpleNamespace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    chance = random.Random(11)
    wrong = []
    every = [(index, fn) for index, fn in served.blocks.fns.items() if fn.fn is not None]
    for index, fn in chance.sample(every, CALLS):
        known = [getattr(part, "value", None) for part in fn.inputs]
        data = [chance.choice(ODD) if chance.random() < 0.4 else value for value in known]
        plain = json.loads(json.dumps(data, default=lambda _: None))
        if index % 7 == 0:
            plain = [*plain[:-1], SECRET, SECRET, SECRET]  # more than it takes
        if said := call(served, index, plain, f"s{index}"):
            wrong.append((index, fn.name, said))
    assert wrong == []
    told = capfd.readouterr()
    assert SECRET not in told.out + told.err + caplog.text
    assert "Traceback" not in told.err


def test_a_session_that_asked_nothing_is_refused_and_nothing_is_logged(
    served: SimpleNamespace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for query in (f"?session_hash={SECRET}", "?session_hash=", "", "?session_hash=%00&x=1"):
        told = served.http.get(f"{API}/queue/data{query}")
        assert told.status_code == 404
        assert "join the queue first" in told.json()["error"]
    heard = capfd.readouterr()
    assert SECRET not in heard.out + heard.err + caplog.text
    assert "Traceback" not in heard.err


def test_streams_of_sessions_that_are_gone_end_in_words_and_nothing_is_logged(
    served: SimpleNamespace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    page = {"accept": "text/event-stream"}
    address = f"{API}/queue/data?session_hash={SECRET}"
    told = served.http.get(address, headers=page)
    assert (told.status_code, told.text.count("session_not_found")) == (200, 1)

    queue = served.blocks._queue
    queue.pending_messages_per_session[SECRET] = Queue()
    queue.pending_event_ids_session[SECRET] = {"never"}
    with (
        served.http.stream("GET", address, headers=page) as one,
        served.http.stream("GET", address, headers=page) as other,
    ):
        assert (one.status_code, other.status_code) == (200, 200)
    # Both were left; Gradio forgets the session at the first.
    until(lambda: SECRET not in queue.pending_messages_per_session)
    time.sleep(0.5)

    queue.pending_messages_per_session[SECRET] = Queue()
    with served.http.stream("GET", address, headers=page, timeout=30) as stream:
        box = queue.pending_messages_per_session[SECRET]
        until(lambda: box._loop is not None)  # somebody waits for a message
        del queue.pending_messages_per_session[SECRET]  # as where answers took too much room
        box._loop.call_soon_threadsafe(box.put_nowait, HeartbeatMessage())
        assert "session_not_found" in "".join(stream.iter_lines())
    heard = capfd.readouterr()
    assert SECRET not in heard.out + heard.err + caplog.text
    assert "Traceback" not in heard.err + caplog.text


def test_a_panic_and_a_defect_end_in_words(
    served: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    panic = type("PanicException", (BaseException,), {})
    index = next(i for i, fn in served.blocks.fns.items() if fn.name == "warm")
    for error, words in [(panic(SECRET), "panic"), (KeyError(SECRET), "reload")]:

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(served.lab._registry, "warm", fail)
        assert call(served, index, ["bundled/draft"], f"p{words}") == ""


@pytest.mark.parametrize("value", [*ODD[:12], "\ud800", b"x", object(), 2**70])
def test_odd_arguments_of_the_lab_are_refused_in_words(served: SimpleNamespace, value: Any) -> None:
    lab: Lab = served.lab
    asks = [
        lambda: lab.open(value, visitor="v"),
        lambda: lab.export(value),
        lambda: lab.delete(value, visitor="v"),
        lambda: lab.search(visitor="v", text=value if isinstance(value, str) else "\ud800"),
        lambda: lab.search(visitor="v", limit=-1),
        lambda: lab.query("\ud800"),
        lambda: lab.state(value),
        lambda: lab.warm(value),
        lambda: lab.request(TraceRequest, model=value, text=value, tiles=value),
        lambda: lab.request(SpeculateRequest, model="bundled/target", text="a", drafter=value),
    ]
    for ask in asks:
        try:
            ask()
        except UserError as error:
            assert str(error)  # noqa: PT017


def test_functions_of_parts_answer_or_refuse_in_words(
    served: SimpleNamespace, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    known, faults, asked = known_values(served.lab), [], set()
    for name, body in questions(served.blocks, known, seed=5, count=QUESTIONS):
        asked.add(body["fn_name"])
        try:
            answer(served.http, body)
        except AssertionError as error:
            faults.append((name, str(error)))
    assert faults == []
    assert asked == {name for _, name, _ in functions(served.blocks)}
    heard = capfd.readouterr()
    assert SECRET not in heard.out + heard.err + caplog.text
    assert "Traceback" not in heard.err
