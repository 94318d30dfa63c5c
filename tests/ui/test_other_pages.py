"""Pages that ask for no run stand beside those that do."""

import gradio as gr
import pytest

from tests.labs import shipped_lab
from tokenarium.ui import page, pages
from tokenarium.ui.shell.page import Page


class Shelf(Page):
    """One line."""

    path, title, order, intro = "shelf", "Shelf", 90, "A page of this test."

    def build(self, blocks: gr.Blocks) -> None:
        shown = gr.HTML(elem_id="line")
        blocks.load(lambda: f"{len(self.lab.models())} models", None, shown)


@pytest.fixture
def shelved(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = pages._declared
    monkeypatch.setattr(pages, "_declared", lambda: iter([*declared(), Page, Shelf]))


@pytest.mark.usefixtures("shelved")
def test_another_page_has_its_route_its_parts_and_a_link_on_every_page() -> None:
    assert pages.every_page()[-1] is Shelf
    assert Shelf not in pages.find_pages()
    with shipped_lab() as lab:
        config = page.build(lab).get_config_file()
        parts = {part["id"]: part for part in config["components"]}
        own = [parts[number] for number in config["page"]["shelf"]["components"]]
        assert [p for p in own if p["props"].get("elem_id") == "line"]
        assert not [p for p in own if p["props"].get("elem_id") == "text"]
        heads = [p for p in parts.values() if "tk-pages" in str(p["props"].get("value"))]
        assert len(heads) == len(config["page"])
        assert all('href="shelf"' in p["props"]["value"] for p in heads)
