"""Choices that change under way take what was chosen before; what reads them judges it."""

import gradio as gr
import pytest

from tests.labs import shipped_store
from tokenarium.backend import Lab, Settings
from tokenarium.ui.components.choice import Choice
from tokenarium.ui.pages import find_pages
from tokenarium.ui.shell.section import RunPage
from tokenarium.ui.shell.wiring import Wiring

PAGES = find_pages()


def test_what_is_no_choice_any_more_is_handed_on() -> None:
    chosen = Choice(["typical"], value="typical")
    assert chosen.get_block_name() == "dropdown"
    assert chosen.preprocess("greedy") == "greedy"
    assert chosen.preprocess(["greedy", 2]) == ["greedy", 2]
    assert chosen.preprocess({"rule": 1}) is None
    assert chosen.preprocess([["greedy"]]) is None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
def test_dropdowns_whose_choices_change_are_choices(page: type[RunPage]) -> None:
    settings = Settings(database=shipped_store(), device="cpu", hosted=False)
    with Lab(settings) as lab, gr.Blocks() as blocks:
        wired = Wiring(page(lab), lab, blocks)
        offered = [wired.parts[name] for offer in wired.controls.offers for name in offer.changed]
        pickers = [each for panel in wired.page.every_panel() for each, _ in panel.pickers]
        found = [*offered, *pickers, wired.library]
        changing = [each for each in found if isinstance(each, gr.Dropdown)]
        assert wired.library in changing
        for each in changing:
            assert isinstance(each, Choice) or each.allow_custom_value, each.elem_id
