"""What a visitor wrote stays text in the offline page: it ends no script and asks for nothing."""

import base64
import gzip
import json
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from tests.contracts.test_endpoints import DRAFT
from tests.labs import shipped_lab
from tokenarium.backend import Lab, TraceRequest

HOSTILE = "</script><script>alert(1)</script><!-- <b>bold</b> <img src=x>"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


class Read(HTMLParser):
    """What a browser makes of a page: its elements, its scripts by id, and its other words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: dict[str | None, str] = {}
        self.words = ""
        self.inside: str | None = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.inside = dict(attrs).get("id") if tag == "script" else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "":
            self.words += data
        else:
            self.scripts[self.inside] = data


def test_texts_of_a_run_end_no_script(lab: Lab) -> None:
    run = lab.run(lab.request(TraceRequest, text=HOSTILE, model=DRAFT))
    read = Read(run.html())
    assert list(read.scripts) == ["tk-plotly", "tk-scripts", "tk-run", None]
    assert HOSTILE in read.words
    assert not {"img", "iframe", "link"} & set(read.tags)
    parts = json.loads(gzip.decompress(base64.b64decode(read.scripts["tk-run"])))["parts"]
    cards = next(part["value"]["cards"] for part in parts if part["name"] == "card")
    signs = {"script", "img", "!--"} & {tag for card in cards for tag in Read(card).tags}
    assert len(cards) == run.result.length
    assert not signs
