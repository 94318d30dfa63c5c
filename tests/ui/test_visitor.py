"""A visitor is known by a secret that stays in the browser; the server keeps its hash."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from tokenarium.backend import Visitor
from tokenarium.ui.shell.visitor import CALLER, passed_on, visitor_of

LAB: Any = SimpleNamespace(
    visitor=lambda name, peer, forwarded, group: Visitor(name, group=group or "")
)
SECRET = "0123456789abcdef" * 2


def request(cookie: str | None, session: str = "s1") -> SimpleNamespace:
    cookies = {} if cookie is None else {"tokenarium_visitor": cookie}
    return SimpleNamespace(cookies=cookies, session_hash=session)


def test_the_same_browser_is_the_same_visitor() -> None:
    assert visitor_of(LAB, request(SECRET, "s1")) == visitor_of(LAB, request(SECRET, "s2"))


def test_two_browsers_are_two_visitors() -> None:
    assert visitor_of(LAB, request(SECRET)) != visitor_of(LAB, request(SECRET[::-1]))


def test_the_secret_is_not_the_name() -> None:
    name = visitor_of(LAB, request(SECRET))
    assert SECRET not in name
    assert len(name) == 32


@pytest.mark.parametrize(
    "cookie", [None, "", "x", SECRET.upper(), SECRET + "0", SECRET[:-1], SECRET + "\n", "' OR 1=1"]
)
def test_a_cookie_that_we_did_not_make_counts_for_this_page_only(cookie: str | None) -> None:
    one, other = visitor_of(LAB, request(cookie, "s1")), visitor_of(LAB, request(cookie, "s2"))
    assert one != other
    assert one == visitor_of(LAB, request(cookie, "s1"))
    assert one


def test_callers_through_mcp_are_one_each_by_address_and_nobody_else_can_be_one() -> None:
    heard: Any = SimpleNamespace(
        visitor=lambda name, peer, forwarded="", group=None: Visitor(name, peer)
    )

    def called(header: str) -> Visitor:
        asked = request(None, "one session for all")
        asked.headers, asked.client = {CALLER: header}, SimpleNamespace(host="127.0.0.1")
        return visitor_of(heard, asked)

    one, other = (called(passed_on(address)[1].decode()) for address in ("1.2.3.4", "1.2.3.5"))
    assert one != other
    assert (one.address, other.address) == ("1.2.3.4", "1.2.3.5")
    assert called(passed_on("1.2.3.4")[1].decode()) == one
    forged = called("0" * 32 + " 1.2.3.4")
    assert forged not in (one, other)
    assert forged.address == "127.0.0.1"


def test_without_a_request_there_is_no_visitor() -> None:
    assert visitor_of(LAB, None) == ""


def test_where_cookies_are_refused_the_name_comes_with_the_event() -> None:
    told = {"visitor": SECRET}
    assert visitor_of(LAB, request(None, "s1"), told) == visitor_of(LAB, request(SECRET))
    assert visitor_of(LAB, request(None, "s1"), told) == visitor_of(LAB, request(None, "s2"), told)


def test_a_cookie_goes_before_what_is_told() -> None:
    assert visitor_of(LAB, request(SECRET), {"visitor": SECRET[::-1]}) == visitor_of(
        LAB, request(SECRET)
    )


@pytest.mark.parametrize("told", [None, 3, {"visitor": 3}, {"visitor": "x"}, [SECRET]])
def test_a_name_that_we_did_not_make_is_none(told: object) -> None:
    assert visitor_of(LAB, request(None, "s1"), told) == visitor_of(LAB, request(None, "s1"))


def test_a_class_is_named_by_a_cookie_or_by_the_page_where_cookies_are_refused() -> None:
    asked = request(SECRET)
    assert visitor_of(LAB, asked).group == ""
    assert visitor_of(LAB, asked, {"visitor": SECRET, "group": "ABCDEF"}).group == "ABCDEF"
    asked.cookies["tokenarium_class"] = "GHJKMN"
    assert visitor_of(LAB, asked).group == "GHJKMN"


def signed_in(subject: str, cookie: str = SECRET, seconds: float = 60) -> SimpleNamespace:
    info = {"expires_at": time.time() + seconds, "userinfo": {"sub": subject}}
    found = request(cookie)
    found.request = SimpleNamespace(scope={"session": {"oauth_info": info}})
    return found


def test_an_account_is_the_same_visitor_in_every_browser_until_its_session_ends() -> None:
    here, there = signed_in("someone"), signed_in("someone", SECRET[::-1])
    assert visitor_of(LAB, here) == visitor_of(LAB, there) != visitor_of(LAB, request(SECRET))
    assert visitor_of(LAB, signed_in("somebody else")) != visitor_of(LAB, here)
    assert visitor_of(LAB, signed_in("someone", seconds=-1)) == visitor_of(LAB, request(SECRET))
    assert "someone" not in visitor_of(LAB, here)
    empty = request(SECRET)
    empty.request = SimpleNamespace(scope={"session": {}})
    assert visitor_of(LAB, empty) == visitor_of(LAB, request(SECRET))
