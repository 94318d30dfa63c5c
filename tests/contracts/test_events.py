"""Events of the pages: who is to answer the newest of many hears a signal that no other hears."""

from collections import Counter

from tests.contracts.visits import PAGES
from tokenarium.backend import Lab
from tokenarium.ui.page import build


def test_no_event_has_two_handlers_of_which_one_answers_the_newest(lab: Lab) -> None:
    """Gradio's page sends an event again to all its handlers; two such go on without end."""
    eager, every = set(), Counter[tuple[int, str]]()
    for handler in build(lab).config["dependencies"]:
        if not handler["backend_fn"]:
            continue  # of the page alone, done before another can come
        for part, event in handler["targets"]:
            if event == "load":
                continue  # comes once, to each by itself
            every[part, event] += 1
            if handler["trigger_mode"] == "always_last":
                eager.add((part, event))
    assert len(eager) > 3 * len(PAGES)
    assert [event for event in eager if every[event] > 1] == []
