"""The search of a query, clusters in the text, likeness of layers: drawn as they were recorded."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_store
from tests.models.conftest import save_model
from tests.ui.browser_stub import Visit
from tests.ui.test_sentence import words
from tokenarium.backend import LAYERS_ALIKE, CacheRequest, Lab, Run, Settings
from tokenarium.ui.components.clusters import MOST_ROWS, clusters_html
from tokenarium.ui.figures.grouping import clusters_of, likeness_bars, search_tree
from tokenarium.ui.pages.cache import Cache

PROMPT = "THE QUICK BROWN FOX <script>alert(1)</script> ${alert(1)} {{x}} AND SLEEPS SOUNDLY NOW"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "llama", "llama")
    settings = Settings(database=shipped_store(), models_dir=folder, device="cpu", hosted=False)
    with Lab(settings) as made:
        yield made


@pytest.fixture(scope="module")
def run(lab: Lab) -> Run:
    policies: list[Any] = [
        {"slug": "hip", "parameters": {"block": 2, "first": 1, "newest": 3, "dense": 1}},
        {"slug": "squeezed", "parameters": {"clusters": 0.2, "question": 4}},
        {"slug": "minicache", "parameters": {}},
    ]
    values = {"text": PROMPT, "budget": 20, "max_new_tokens": 5, "noise": False}
    return lab.run(CacheRequest(model="local/llama", policies=policies, **values))


def test_a_bar_is_a_range_that_was_looked_at(run: Run) -> None:
    hip = run.result.runs[0]
    found, figure = hip.searched(3, 1, 1), search_tree(hip, 3, 1, 1)
    assert figure is not None
    left, opened, always = figure.data
    for bars, which in ((left, ~found.opened), (opened, found.opened)):
        np.testing.assert_array_equal(np.asarray(bars.base) + 0.5, found.first[which])
        np.testing.assert_array_equal(bars.x, (found.stop - found.first)[which])
        np.testing.assert_array_equal(bars.y, found.level[which])
        assert [row[2] for row in bars.customdata] == found.scores[which].tolist()
    # What the last row shows in colour is what the step read.
    last, shown = found.level.max(), set()
    for bars in (opened, always):
        for base, wide, level in zip(bars.base, bars.x, bars.y, strict=True):
            if level == last:
                shown |= set(range(int(base + 0.5), int(base + 0.5 + wide)))
    assert shown == set(hip.selected(3, 1, 1).tolist())
    assert list(figure.layout.yaxis.ticktext)[-1] == "2"
    assert search_tree(hip, 3, 0, 0) is None  # reads everything
    assert search_tree(run.result.runs[1], 3, 1, 1) is None


def test_the_text_is_coloured_by_cluster_and_shown_as_it_stands(run: Run) -> None:
    squeezed, texts = run.result.runs[1], run.result.prompt_text
    found = clusters_of(squeezed, 3, 1, 0)
    assert sum(len(own.tokens) for own in found) == len(texts) - 4  # but the question
    html = clusters_html(squeezed, 3, 1, 0)
    spans = re.findall(r"<span( data-read)?(?: style=\"--hue:(\d+)\" title=\"([^\"]*)\")?>", html)
    assert len(spans) == len(texts)
    for own in found:
        told = {spans[at] for at in own.tokens.tolist()}
        assert len(told) == 1  # one colour, one title
        ((read, _, title),) = told
        assert bool(read) == own.read == bool(np.isin(own.tokens, squeezed.selected(3, 1, 0)).all())
        number = f"cluster {own.number}, {len(own.tokens)} token"
        assert title.startswith(number)
        assert title.endswith("not read") != own.read
    assert len({spans[own.tokens[0]][1] for own in found}) == len(found)
    assert [own.read for own in found] == sorted((own.read for own in found), reverse=True)
    assert spans[-1] == ("", "", "")
    for unsafe in ("<script", "${", "{{"):
        assert unsafe not in html
    assert html.count("<tr>") == 1 + min(MOST_ROWS, len(found))
    assert clusters_html(run.result.runs[0], 3, 1, 0) == ""


def test_likeness_is_drawn_beside_where_it_would_do(run: Run) -> None:
    figure = likeness_bars(run.result.runs[2])
    assert figure is not None
    keys, values = figure.data
    assert list(keys.x) == list(values.x) == [0, 1]
    both = list(zip(keys.y, values.y, strict=True))
    assert both == [pair[2:] for pair in run.result.runs[2].likeness]
    assert figure.layout.shapes[0].y0 == LAYERS_ALIKE
    assert likeness_bars(run.result.runs[0]) is None


def test_the_page_draws_what_the_chosen_policy_has(lab: Lab, run: Run) -> None:
    page = Visit(lab, Cache)
    page.open(run.id)
    assert json.loads(page.values["cache_likeness"])["data"]
    assert (page.values["cache_search"], page.values["cache_clusters"]) == (None, "")
    page.pick(policy="hip", layer=1, head=0, step=2)
    assert "step 2" in json.loads(page.values["cache_search"])["layout"]["meta"]["label"]
    assert page.values["cache_likeness"] is None
    page.pick(policy="squeezed", layer=1, head=1, step=2)
    assert "layer 1, KV head 1" in words(page.values["cache_clusters"])
    assert page.values["cache_search"] is None
    for name in ("search", "likeness"):
        chosen = {"search": {"policy": "hip", "layer": 1, "step": 2}, "likeness": {}}[name]
        assert run.figure(name, **chosen).data


def test_a_run_of_an_older_version_has_none_of_them(run: Run) -> None:
    result = run.result
    later = ("search_at", "search_scores", "cluster_at", "clusters", "neighbours", "likeness")
    facts = result.facts() | {"schema_version": 5}
    arrays = {name: own for name, own in result.arrays().items() if name not in later}
    older = type(result).from_stored(facts, arrays)
    assert set(later) <= set(older.missing)
    hip, squeezed, minicache = older.runs
    assert search_tree(hip, 3, 1, 1) is likeness_bars(minicache) is None
    assert clusters_html(squeezed, 3, 1, 0) == ""
