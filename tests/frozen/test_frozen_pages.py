"""What an earlier version stored is shown by today's pages: at its address, in every panel."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.frozen.make import Run
from tests.frozen.test_frozen_store import Frozen, own
from tests.ui.browser_stub import Visit
from tokenarium.backend import TraceRequest
from tokenarium.ui.figures.attention import region_map
from tokenarium.ui.pages import find_pages
from tokenarium.ui.pages.explore import Explore
from tokenarium.ui.panels.explore.follow import Follow
from tokenarium.ui.panels.explore.heads import Heads
from tokenarium.ui.panels.explore.heartbeat import Heartbeat
from tokenarium.ui.panels.explore.intervene import Intervene
from tokenarium.ui.shell.panel import AnyScene, Panel
from tokenarium.ui.shell.section import MAIN

__all__ = ["own"]

PAGES = find_pages()
ASKED_BY_VIEWS = {"intervention", "heartbeat", "follow", "probe", "region"}
ABOUT_NO_RUN = {"bias", "families"}


@pytest.fixture(scope="module")
def visits(own: Frozen) -> dict[Any, Visit]:
    """A visitor on every page, all of the same frozen store."""
    return {page: Visit(own.lab, page, own.visitor) for page in PAGES}


def opened(own: Frozen, *kinds: str) -> Iterator[tuple[str, Run]]:
    for name, record, run in own.opened():
        if record["kind"] in kinds:
            yield name, run


def test_every_kind_is_shown_by_a_page_or_a_view(own: Frozen) -> None:
    by_page = {
        request.kind
        for page in PAGES
        for section in (page, *page.beside)
        for request in section.kinds
    }
    assert {record["kind"] for record in own.runs.values()} <= by_page | ASKED_BY_VIEWS


def test_every_run_opens_at_its_address(own: Frozen, visits: dict[Any, Visit]) -> None:
    seen = set()
    for name, record, run in own.opened():
        for page, visit in visits.items():
            for slug, section in visit.page.sections.items():
                if type(run.request) not in section.kinds:
                    continue
                visit.boot(f"{slug}={run.id}")
                assert visit.shown(slug) == run.id, (name, page.title, visit.status(slug))
                assert visit.status(slug) == "", (name, page.title)
                assert visit.values[visit.handlers.part(section, "facts")], name
                for panel in section.shown:
                    drawn = any(visit.values[part] for part in panel.parts)
                    assert drawn or panel.slug in ABOUT_NO_RUN, (name, panel.slug)
                seen.add(record["kind"])
    assert seen == {"trace", "cache", "point", "sweep", "speculate"}


def scene_at(visit: Visit, run_id: str) -> AnyScene:
    return visit.handlers._scene(visit.page, visit.asker(runs={MAIN: run_id}))


def test_every_view_draws_every_trace(own: Frozen, visits: dict[Any, Visit]) -> None:
    visit = visits[Explore]
    for name, run in opened(own, "trace"):
        scene = scene_at(visit, run.id)
        for view in visit.page.tabs.values():
            drawn = view.draw(scene)
            assert drawn.keys() <= view.parts.keys(), (name, view.slug)
            assert any(drawn.values()), (name, view.slug)


def scene_of(visit: Visit, own: Frozen, run: Run, **settings: Any) -> AnyScene:
    """Return a trace of as many layers, as if it had read the text that ``run`` is about."""
    of_target = run.request.model == "bundled/target"
    scene = scene_at(visit, own.runs["trace_target" if of_target else "trace_bfloat16"]["id"])
    told = {
        field: getattr(run.request, field)
        for field in TraceRequest.model_fields
        if hasattr(run.request, field)
    }
    head = {name: getattr(run.request, name, 0) for name in ("layer", "head", "token")}
    asked = replace(scene, request=scene.request.model_copy(update=told), settings=settings)
    return replace(asked, chosen=replace(scene.chosen, **head))


def panel_of(visit: Visit, kind: type[Panel]) -> Any:
    return visit.page.tabs[kind.slug]


@pytest.mark.parametrize(
    ("kind", "panel", "setting", "figures"),
    [
        ("intervention", Intervene, "intervention_run", ["surprisal_change", "sink_change"]),
        ("heartbeat", Heartbeat, "heartbeat_run", ["heartbeat", "gaps", "heartbeat_table"]),
        ("probe", Heads, "heads_probe", ["scatter", "heads_table"]),
    ],
)
def test_a_view_draws_the_stored_runs_that_it_asked_for(
    own: Frozen,
    visits: dict[Any, Visit],
    kind: str,
    panel: type[Panel],
    setting: str,
    figures: list[str],
) -> None:
    visit = visits[Explore]
    for name, run in opened(own, kind):
        across = {"heads_across": "echo", "heads_up": "induction"}
        scene = scene_of(visit, own, run, **{setting: run.id}, **across)
        drawn = panel_of(visit, panel).draw(scene)
        assert all(drawn[figure] for figure in figures), name
        without = panel_of(visit, panel).draw(replace(scene, settings={}))
        assert drawn[figures[0]] != without[figures[0]], name


def test_the_view_of_a_token_draws_what_was_stored_of_it(
    own: Frozen, visits: dict[Any, Visit], monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = visits[Explore]
    view = panel_of(visit, Follow)
    for name, run in opened(own, "follow"):
        scene = scene_of(visit, own, run)
        stored = SimpleNamespace(
            state=lambda _: SimpleNamespace(state="ready"),
            request=own.lab.request,
            run=lambda request, run=run, **_: run,
        )
        with monkeypatch.context() as patch:
            patch.setattr(view, "lab", stored)
            drawn = view.draw(scene)
        assert drawn["follow"], name
        assert drawn["follow_table"], name


def test_the_map_draws_stored_regions(own: Frozen) -> None:
    for name, run in opened(own, "region"):
        length = int(max(run.result.query_edges[-1], run.result.key_edges[-1]))
        text: Any = SimpleNamespace(token_text=("token",) * length, length=length)
        figure = region_map(run.result, text, run.request.layer, run.request.head)
        np.testing.assert_array_equal(np.array(figure.data[0].z, np.float32), run.result.mean, name)


def test_every_section_with_runs_is_reached(visits: dict[Any, Visit]) -> None:
    sections = {slug for visit in visits.values() for slug in visit.page.sections}
    assert sections == {MAIN, "sweep", "race", "edit", "patch", "ablate", "methods", "reduce"}
