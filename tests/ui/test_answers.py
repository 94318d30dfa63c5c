"""What one address may have worked on at once."""

import asyncio

import pytest

from tokenarium.backend import UserError
from tokenarium.ui.shell.answers import Share, words_of


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


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), OSError("secret")])
def test_a_defect_is_said_without_what_was_sent(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert "secret" not in words_of(error) + caplog.text
    assert words_of(UserError("steps=3 is odd: take 4")) == "steps=3 is odd: take 4"
