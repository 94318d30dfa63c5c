"""Text or turns: what a visitor gives becomes a request, and a stored run gives it back."""

import json

import pytest

from tokenarium.backend import CacheRequest, Lab, TextRequest, TraceRequest, UserError
from tokenarium.ui.components.turns import PLAIN, given, shown_again
from tokenarium.ui.shell.handlers import Handlers

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes, I"}]
CHAT = {"chat": True, "turns": TURNS, "special_tokens": True}


def test_a_request_gives_back_what_was_given() -> None:
    for text, turns in (("Once", PLAIN), ("", CHAT), ("<s>", {**PLAIN, "special_tokens": True})):
        request = TextRequest(model="m", **given(text, json.loads(json.dumps(turns))))
        assert shown_again(request) == {"text": text, "turns": turns}


def test_turns_that_are_not_chosen_stay_out() -> None:
    assert given("Once", {**CHAT, "chat": False}) == {"text": "Once", "special_tokens": True}
    assert "text" not in given("Once", CHAT)


def test_an_empty_answer_at_the_end_is_the_templates_own() -> None:
    turns = [TURNS[0], {"role": "assistant", "content": ""}]
    assert given("", {**CHAT, "turns": turns})["messages"] == turns[:1]


@pytest.mark.parametrize("sent", [None, [], "x", {"chat": True, "turns": [3, None]}, {"turns": 3}])
def test_a_browser_may_send_anything(sent: object) -> None:
    with pytest.raises(UserError, match="text is empty"):
        Lab.request(TraceRequest, model="m", **given("", sent))


def test_an_older_run_of_one_user_message_opens_as_a_turn() -> None:
    request = CacheRequest(model="m", text="Hi", chat_template=True, policies=("full",))
    assert shown_again(request)["turns"]["turns"] == TURNS[:1]
    assert shown_again(request)["text"] == ""


def test_turns_go_along_to_another_page() -> None:
    carried = {"text": "", "model": "m", "turns": CHAT}
    assert Handlers._carried(carried) == {"model": "m", "turns": CHAT}
    assert Handlers._carried({"turns": "x"}) == {}
