"""A run as one HTML file: what is in it, what can be left out, and whose numbers."""

import base64
import gzip
import re
from html import unescape
from typing import Any

import numpy as np
import orjson
import pytest

from tokenarium.backend import Lab, Run, TraceResult, UserError
from tokenarium.ui.figures import catalogue
from tokenarium.ui.figures.attention import attention_map
from tokenarium.ui.figures.eviction import scores
from tokenarium.ui.figures.lines import received
from tokenarium.ui.offline import page
from tokenarium.ui.offline.part import as_value


@pytest.fixture(scope="module")
def trace(lab: Lab) -> Run:
    return lab.open("example-small-model")


def carried(html: str, name: str = "tk-run") -> Any:
    """Return what a file has packed."""
    packed = re.search(rf'id="{name}">([^<]*)<', html)
    assert packed
    return orjson.loads(gzip.decompress(base64.b64decode(packed[1])))


def value_at(part: dict[str, Any], key: str) -> Any:
    """Return the value of a part at a place, as the browser makes it."""
    found = orjson.loads(orjson.dumps(part["value"]))
    for path, value in part["changes"][key]:
        if not path:
            return value
        at = found
        for name in path[:-1]:
            at = at[name]
        at[path[-1]] = value
    return found


def parts_of(html: str) -> dict[str, Any]:
    return {part["name"]: part for part in carried(html)["parts"]}


def test_file_asks_nobody_for_anything(trace: Run) -> None:
    html = trace.html(views=["strip"])
    bare = re.sub(r'<script type="application/octet-stream".*?</script>', "", html)
    assert not re.search(r"""(src|href)=["'](?!data:)|@import|url\((?!["']?data:)""", bare)
    assert "default-src &#x27;none&#x27;" in html


def test_figures_of_every_head_are_those_of_the_page(trace: Run) -> None:
    result = trace.result
    assert isinstance(result, TraceResult)
    parts = parts_of(trace.html(views=["attention", "received"]))
    for layer, head in ((0, 0), (1, 3), (result.layers - 1, result.heads - 1)):
        key = f"{layer},{head}"
        assert value_at(parts["map"], key) == as_value(attention_map(result, layer, head))
        assert value_at(parts["received"], key) == as_value(received(result, layer, head))


def test_card_has_the_numbers_of_every_head(trace: Run) -> None:
    rows = parts_of(trace.html(views=["card"]))["card"]["value"]["rows"]
    result = trace.result
    assert isinstance(result, TraceResult)
    assert rows["1,3"][0][7].split()[0] == f"{result.received_mass[1, 3, 7]:.4g}"
    assert len(rows) == result.layers * result.heads


def test_scores_of_every_choice_are_those_of_the_page(lab: Lab) -> None:
    run = lab.open("example-what-is-kept")
    part = parts_of(run.html(views=["held"], layers=[3]))["cache_scores"]
    h2o = next(each for each in run.result.runs if each.policy == "h2o")
    drawn = scores(h2o, 5, 3, 1)
    assert drawn is not None
    assert value_at(part, "h2o,3,1,5") == as_value(drawn)
    assert not any(key.split(",")[1] != "3" for key in part["changes"])


def test_maps_of_every_head_are_those_of_the_page(lab: Lab) -> None:
    run = lab.open("example-what-is-kept")
    part = parts_of(run.html(views=["held"], layers=[3]))["cache_map"]
    for found in run.result.runs:
        drawn = catalogue.figure(run, "held", policy=found.policy, layer=3, head=2)
        shown, known = value_at(part, f"{found.policy},3,2"), as_value(drawn)
        assert shown["data"] == known["data"]
        assert shown["layout"]["meta"] == known["layout"]["meta"]


def test_tables_are_those_of_the_run(trace: Run) -> None:
    html = trace.html(views=["tables"])
    table = re.search(r'<div data-table="token">.*?</table>', html, re.DOTALL)
    assert table
    cells = re.findall(r"<td>(.*?)</td>", table[0])
    names = trace.table("token").column_names
    at = names.index("surprisal_nats")
    told = [float(cells[row * len(names) + at]) for row in range(1, 9)]
    known = trace.table("token").column("surprisal_nats").to_pylist()[1:9]
    np.testing.assert_allclose(told, known, rtol=1e-5)


def test_what_there_is_not_is_refused(trace: Run) -> None:
    with pytest.raises(UserError, match=r"view='map'.*choose strip, card"):
        trace.html(views=["map"])
    with pytest.raises(UserError, match=r"layers=.*choose from 0"):
        trace.html(layers=[99])


def test_too_large_a_file_says_what_to_leave_out(
    trace: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_BYTES", 100_000)
    with pytest.raises(UserError, match=r"leave out the largest views .*strip.* layers=range"):
        trace.html(views=["strip", "heads"])


def test_run_is_saved_as_a_page(trace: Run, tmp_path: Any) -> None:
    saved = trace.save(tmp_path / "run.html", views=["strip"])
    assert saved.read_text("utf-8") == trace.html(views=["strip"])


@pytest.mark.parametrize(
    "example",
    ["example-said-before", "example-a-hidden-number", "example-four-roads-at-once",
     "example-why-warsaw"],
)  # fmt: skip
def test_other_kinds_have_a_page(lab: Lab, example: str) -> None:
    run = lab.open(example)
    found = carried(run.html())
    assert found["parts"]
    assert len(found["trees"]) == len(getattr(run.result, "rounds", ()))


def test_every_step_of_a_decoding_run_is_in_its_file(lab: Lab) -> None:
    run = lab.open("example-four-roads-at-once")
    html = run.html()
    steps, result = carried(html)["steps"], run.result
    assert len(steps) == sum(len(lane.token_ids) for lane in result.lanes)
    own = steps["1,7"]
    assert own["entropy"] == pytest.approx(result.lanes[1].entropy_nats[7], rel=1e-3)
    assert own["alternatives"][0]["probs"][0] == pytest.approx(
        result.lanes[1].top_probs[7, 0, 0], rel=1e-3
    )
    assert parts_of(html)["decoding"]["value"]["steps"] == 32


def test_texts_are_escaped(trace: Run) -> None:
    evil = trace.request.model_copy(update={"text": "</script><script>alert(1)</script>"})
    html = Run(**{**vars(trace), "request": evil}).html(views=[])
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_run_is_shown_in_a_frame_that_carries_itself(trace: Run) -> None:
    shown = trace.show("strip", "attention", height=400)
    frame = re.fullmatch(r'<iframe [^>]*srcdoc="([^"]*)"[^>]*></iframe>', shown._repr_html_())
    assert frame
    document = unescape(frame[1])
    assert document == trace.html(views=["strip", "attention"])
    assert "\n" not in repr(shown)
    assert not hasattr(trace, "_repr_html_")
    with pytest.raises(UserError, match="height=1: choose 100"):
        trace.show(height=1)
