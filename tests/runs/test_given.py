"""A text is refused by its length in bytes, before any of it is cut into tokens."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.runs.conftest import MODEL
from tests.runs.stand_in import CountRequest, Watch
from tokenarium.backend import SweepRequest, TraceRequest
from tokenarium.backend.errors import UserError
from tokenarium.backend.models import text as tokens
from tokenarium.backend.runs.given import refuse_long
from tokenarium.backend.runs.lab import Lab


@pytest.mark.parametrize("hosted", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {"text": "\N{GRINNING FACE}" * 300_000},
        {"text": "a" * 40_000},
        {"messages": [{"role": "user", "content": "b" * 20_000}] * 2},
    ],
    ids=["emoji", "letters", "messages"],
)
def test_a_long_text_is_refused_before_it_is_tokenised(
    make_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, hosted: bool, given: Any
) -> None:
    lab = make_lab(hosted=hosted, max_tokens=1_024)
    monkeypatch.setattr(tokens, "count_tokens", lambda *_: pytest.fail("it was tokenised"))
    request = lab.request(TraceRequest, model=MODEL, **given)
    for ask in (lab.run, lab.start, lab.estimate):
        with pytest.raises(UserError, match=r"(text|messages) has [\d,]+ bytes.* most 32,768"):
            ask(request, visitor="v")


def test_each_prompt_of_a_sweep_is_a_text_of_its_own() -> None:
    values = {"model": MODEL, "policies": ["recent"], "budgets": [0.5]}
    refuse_long(SweepRequest(prompts=["a" * 4_000] * 8, **values), 128)
    with pytest.raises(UserError, match="prompts has 4,097 bytes"):
        refuse_long(SweepRequest(prompts=["a", "a" * 4_097], **values), 128)


def test_equal_requests_of_two_visitors_in_flight_are_computed_once(
    make_lab: Callable[..., Lab], watch: Watch
) -> None:
    lab = make_lab(hosted=True)
    request = CountRequest(model=MODEL, text="same")
    watch.gate.clear()
    tickets = {visitor: lab.start(request, visitor=visitor) for visitor in ("a", "b", "c")}
    other = lab.start(CountRequest(model=MODEL, text="other"), visitor="b")
    watch.gate.set()
    for visitor, ticket in [*tickets.items(), ("b", other)]:
        run = list(lab.follow(ticket.id, visitor=visitor))[-1].run  # type: ignore[union-attr]
        assert (run.id, run.owner) == (ticket.id, visitor)
        assert lab.open(ticket.id, visitor=visitor).owner == visitor
    assert sorted(watch.calls) == ["other", "same"]
