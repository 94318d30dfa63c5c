"""The small picture, and stories that lead to runs which are shipped."""

from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from plotly.graph_objects import Figure

from tests.ui.hand_made import trace, unfinished
from tokenarium.backend import TraceResult
from tokenarium.backend.runs.examples import declared
from tokenarium.ui.components.colouring import attention_share
from tokenarium.ui.components.stories import Story
from tokenarium.ui.figures.share import attention_bars
from tokenarium.ui.pages import find_pages
from tokenarium.ui.pages.explore import STORIES


def drawn(result: TraceResult) -> Figure | None:
    return attention_bars(attention_share(result), result.token_text)


def test_bars_are_the_tokens_that_get_most_and_all_others_together() -> None:
    share = np.array([40, 1, 6, 2, 20, 3, 28.0])
    received = share / 100 * 7 / np.arange(7, 0, -1)
    result = trace(7, received_mass=np.tile(received, (2, 4, 1)).astype(np.float32))
    figure = drawn(result)
    assert figure is not None
    (bars,) = figure.data
    assert bars.x == pytest.approx([40, 28, 20, 6, 3, 3])
    assert [token for (token,) in bars.customdata] == [0, 6, 4, 2, 5, None]
    names = list(figure.layout.yaxis.ticktext)
    assert names == ["“&lt;|bos|&gt;” first", "“w6” 6", "“w4” 4", "“w2” 2", "“w5” 5", "2 others"]
    assert list(bars.text) == ["40%", "28%", "20%", "6%", "3%", "3%"]
    assert figure.layout.meta["point"] == ["token"]


def test_a_short_text_has_no_others_and_an_unread_one_no_picture() -> None:
    figure = drawn(trace(1))
    assert figure is not None
    assert len(figure.data[0].x) == 1
    assert drawn(unfinished(5)) is None


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.title)
def test_a_story_leads_to_a_shipped_run_on_its_page(story: Story) -> None:
    address = urlsplit(story.address)
    asked = parse_qs(address.query)
    (example,) = (each for each in declared() if [each.run_id] == asked["run"])
    (page,) = (each for each in find_pages() if each.path == address.path.removeprefix("./"))
    assert type(example.request) in page.kinds
    if "view" in asked:
        assert asked["view"][0] in {view.slug for view in page.views}
    if "policy" in asked:
        assert asked["policy"][0] in {spec.slug for spec in example.request.policies}
