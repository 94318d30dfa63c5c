"""Answers that nobody fetches: few bytes of them are kept, and not for long."""

import asyncio

import pytest
from gradio.server_messages import ProcessCompletedMessage, ProcessGeneratingMessage

from tokenarium.ui.shell import unread
from tokenarium.ui.shell.unread import EventIds, Mailboxes, weight

NUMBERS = {"data": [{"values": [0.5] * 1_000}]}


def boxes(most_bytes: int, kept_s: float = 60.0) -> tuple[Mailboxes, EventIds]:
    ids = EventIds()
    return Mailboxes(ids, most_bytes, kept_s), ids


def answer(made: Mailboxes, ids: EventIds, caller: str, *, whole: bool = True) -> None:
    """Let an event of a caller be answered, as Gradio's queue does it."""
    if caller not in made:
        made[caller] = asyncio.Queue()
        ids[caller] = set()
    ids[caller].add(f"event of {caller}")
    kind = ProcessCompletedMessage if whole else ProcessGeneratingMessage
    made[caller].put_nowait(kind(output=NUMBERS, success=True))


def test_what_an_answer_weighs_is_about_what_it_holds() -> None:
    assert 32_000 <= weight([0.5] * 1_000) <= 40_000
    assert weight([[0.5] * 100] * 10) == pytest.approx(weight([0.5] * 1_000), rel=0.1)
    assert weight({"text": "x" * 5_000}) == pytest.approx(5_000, rel=0.1)
    assert weight(["word"] * 100) >= 100 * 60
    assert weight(None) < 100


def test_the_oldest_unread_answers_make_way() -> None:
    made, ids = boxes(3 * weight(NUMBERS))
    for number in range(10):
        answer(made, ids, f"caller {number}")
        assert made.bytes <= 3 * weight(NUMBERS)
    assert list(made) == ["caller 7", "caller 8", "caller 9"] == list(ids)


def test_one_answer_larger_than_all_may_be_is_kept_for_its_reader() -> None:
    made, ids = boxes(weight(NUMBERS) // 2)
    answer(made, ids, "first")
    answer(made, ids, "second")
    assert list(made) == ["second"]
    assert made["second"].get_nowait().output == NUMBERS
    assert made.bytes == 0


def test_steps_that_nobody_reads_do_not_pile_up() -> None:
    made, ids = boxes(3 * weight(NUMBERS))
    made["deaf"] = asyncio.Queue()
    box = made["deaf"]
    for _ in range(50):
        answer(made, ids, "deaf", whole=False)
        assert made.bytes <= 6 * weight(NUMBERS)
    assert box is not made.get("deaf")


def test_what_was_read_counts_no_more() -> None:
    made, ids = boxes(3 * weight(NUMBERS))
    for number in range(10):
        answer(made, ids, f"caller {number}")
        made[f"caller {number}"].get_nowait()
    assert made.bytes == 0
    assert len(made) == 10


def test_an_answer_waits_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_000.0
    monkeypatch.setattr(unread.time, "monotonic", lambda: moment)
    made, ids = boxes(2**30, kept_s=60.0)
    answer(made, ids, "late")
    answer(made, ids, "goes on", whole=False)
    moment += 59
    answer(made, ids, "other")
    assert "late" in made
    moment += 2
    answer(made, ids, "last")
    assert list(made) == ["goes on", "other", "last"]


def test_an_event_whose_caller_is_forgotten_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "MOST_CALLERS", 2)
    made, ids = boxes(2**30)
    for number in range(5):
        answer(made, ids, f"caller {number}")
    assert list(made) == ["caller 3", "caller 4"] == list(ids)
    made["caller 0"].put_nowait(ProcessCompletedMessage(output=NUMBERS, success=True))
    assert len(ids["caller 0"]) == 0
    assert "caller 0" not in made
    assert "caller 0" not in ids


def test_ids_of_callers_who_have_read_all_are_forgotten() -> None:
    ids = EventIds(most=10)
    ids["waits"] = {"an event"}
    for number in range(1_000):
        name = f"caller {number}"
        ids[name] = set()
        ids[name].add("an event")
        ids[name].remove("an event")
    assert len(ids) <= 11
    assert ids["waits"] == {"an event"}
