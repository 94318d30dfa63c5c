"""What one address may have worked on at once."""

import asyncio

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from tokenarium.backend import Lab, Settings, UserError
from tokenarium.ui.shell.answers import (
    OWN_AT_ONCE,
    OWN_WAITING,
    Share,
    Shares,
    answer_in_words,
    words_of,
)
from tokenarium.ui.shell.panel import unchecked


def test_calls_of_one_address_wait_for_one_another_and_no_other() -> None:
    share, most, now = Share(2, 4), {"a": 0, "b": 0}, {"a": 0, "b": 0}

    async def call(name: str) -> str:
        try:
            async with share.of(name):
                now[name] += 1
                most[name] = max(most[name], now[name])
                await asyncio.sleep(0.01)
                now[name] -= 1
        except UserError as error:
            return str(error)
        return ""

    async def flood() -> list[str]:
        return await asyncio.gather(*(call("a") for _ in range(9)), call("b"))

    said = asyncio.run(flood())
    assert most == {"a": 2, "b": 1}
    assert sum("busy: 6 requests of your address" in words for words in said) == 3
    assert not share._here
    assert not share._turns


def test_a_visitor_leaves_room_for_others_behind_the_same_address() -> None:
    shares = Shares()
    most = OWN_AT_ONCE + OWN_WAITING

    async def call(visitor: str, address: str = "here") -> str:
        try:
            async with shares.of(visitor, address):
                await asyncio.sleep(0.01)
        except UserError as error:
            return str(error)
        return ""

    async def flood() -> list[str]:
        greedy = [call("greedy", f"one of {place}") for place in range(most)]
        return await asyncio.gather(*greedy, call("greedy"), call("other"), call("greedy", "there"))

    *first, again, other, elsewhere = asyncio.run(flood())
    assert set(first) == {""}
    assert other == ""
    assert f"busy: {most} requests of yours are waiting" in again == elsewhere
    # A new name per call is still one address.
    names = asyncio.run(_many(shares))
    assert any("of your address" in words for words in names)


async def _many(shares: Shares) -> list[str]:
    async def call(visitor: str) -> str:
        try:
            async with shares.of(visitor, "one"):
                await asyncio.sleep(0.001)
        except UserError as error:
            return str(error)
        return ""

    return await asyncio.gather(*(call(str(number)) for number in range(60)))


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), OSError("secret")])
def test_a_defect_is_said_without_what_was_sent(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert "secret" not in words_of(error) + caplog.text
    assert words_of(UserError("steps=3 is odd: take 4")) == "steps=3 is odd: take 4"


@pytest.mark.parametrize(
    ("made", "sent"),
    [
        (lambda: gr.Number(1, minimum=0, maximum=9), -5),
        (lambda: gr.Slider(0, 9, 1), 10),
        (lambda: gr.Dropdown(["a", "b"], value="a"), "c"),
    ],
)
def test_a_part_that_an_event_has_changed_still_hands_on_what_was_sent(made, sent) -> None:
    with gr.Blocks() as blocks:
        part, heard = unchecked(made()), gr.Textbox()
        part.change(lambda: gr.update(info="of another run"), None, part)
        part.change(repr, part, heard)
    settings = Settings(database="duckdb:///:memory:", fetch=False)
    with Lab(settings) as lab:
        answer_in_words(blocks, lab)
        state = SessionState(blocks)
        changes, tells = blocks.fns
        asyncio.run(blocks.process_api(changes, [], state=state))
        assert state[part._id] is not part
        told = asyncio.run(blocks.process_api(tells, [sent], state=state))
    assert told["data"] == [repr(sent)]
