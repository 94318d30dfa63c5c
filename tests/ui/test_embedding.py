"""Parts of a page in a frame: who may frame what, which names there are, what is refused."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest

from tests.labs import shipped_store
from tests.ui.browser_stub import Visit, layout_of
from tests.ui.served import serving
from tokenarium.backend import Settings, UserError
from tokenarium.ui.lessons.framed import beside
from tokenarium.ui.lessons.lesson import Lesson
from tokenarium.ui.lessons.reading import lessons
from tokenarium.ui.pages import find_pages
from tokenarium.ui.shell.embedding import ONLY_SHOWN, Part, chosen, embedded, parts_of
from tokenarium.ui.shell.section import MAIN, RunPage


@pytest.fixture(scope="module", params=[False, True], ids=["local", "hosted"])
def served(request: pytest.FixtureRequest) -> Iterator[SimpleNamespace]:
    with serving(
        Settings(database=shipped_store(), device="cpu", hosted=request.param, fetch=False)
    ) as app:
        yield app


def framing(answer: Any) -> tuple[str, str | None]:
    """Return who may frame an answer, by both headers that say so."""
    policy = answer.headers["content-security-policy"].split("; ")
    (told,) = (part for part in policy if part.startswith("frame-ancestors"))
    return told, answer.headers.get("x-frame-options")


def test_only_an_embed_may_be_framed_by_anybody(served: SimpleNamespace) -> None:
    free = ("frame-ancestors 'self' *", None)
    assert framing(served.http.get("/?embed=strip")) == free
    assert framing(served.http.get("/cache?run=x&embed=lanes")) == free
    for path in ("/", "/?run=embed=strip", "/?embeds=strip", "/cache", "/config?embed=strip",
                 "/gradio_api/info?embed=strip", "/endpoints"):  # fmt: skip
        told, older = framing(served.http.get(path))
        assert "*" not in told.split(), path
        assert older == (None if served.hosted else "SAMEORIGIN")
    sent = served.http.post("/gradio_api/queue/join?embed=strip", json={})
    assert "*" not in framing(sent)[0].split()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/?embed=strip,nothing", "nothing&#x27; is no part of this page: choose sentence, strip"),
        ("/?embed=", "choose sentence, strip"),
        ("/?embed=%3Cscript%3E", "embed=&#x27;&lt;script&gt;&#x27;"),
        ("/?embed=map,lens", "map in attention, lens in predictions: embed one of them"),
        ("/?embed=lesson", "lesson=&#x27;&#x27; is no lesson: choose tokens, sink"),
        ("/learn?embed=lesson&lesson=%3Cb%3E", "lesson=&#x27;&lt;b&gt;&#x27; is no lesson"),
        ("/learn?embed=lesson&lesson=sink&lesson_step=99", "of &#x27;sink&#x27;: choose 1 to 8"),
        ("/learn?embed=cards", "embed=&#x27;cards&#x27; is no part of this page: choose lessons"),
        ("/library?embed=sql", "embed=&#x27;sql&#x27; is no part of this page: choose runs"),
        ("/endpoints?embed=strip", "page=/endpoints has no parts to embed: take one of /, /cache"),
    ],
)
def test_what_cannot_be_embedded_is_said_in_words(
    served: SimpleNamespace, address: str, words: str
) -> None:
    answer = served.http.get(address)
    assert answer.status_code == 400
    assert words in answer.text
    assert "<script>" not in answer.text


def test_an_embed_opens_the_view_of_its_part_and_hides_all_others(served: SimpleNamespace) -> None:
    moved = served.http.get("/?embed=strip,map&run=r&token=3")
    assert moved.status_code == 307
    assert moved.headers["location"] == "./?embed=strip,map&run=r&token=3&view=attention"
    shown = served.http.get("/", params={"embed": "strip,map", "view": "attention"}).text
    assert 'window.tokenariumEmbed={"ids": ["strip", "plot-map"]}' in shown
    assert "not(:is(#strip,#plot-map))" in shown
    assert "tokenariumEmbed" not in served.http.get("/").text


@pytest.mark.parametrize("page", find_pages(), ids=lambda page: page.title)
def test_every_panel_and_figure_has_a_name(served: SimpleNamespace, page: type[RunPage]) -> None:
    made = layout_of(served.lab, page).page
    parts = parts_of(made)
    for panel in made.every_panel():
        view = panel.slug if panel.slug in made.tabs else None
        for name, part in panel.parts.items():
            if name in panel.controls or not part.elem_id:
                continue
            assert chosen(parts, part.elem_id.removeprefix("plot-"))[1] == view
            assert part.elem_id in chosen(parts, panel.slug)[0]


def test_parts_of_one_view_stand_together() -> None:
    parts = {"a": Part(("a",), None), "b": Part(("p", "q"), "v"), "c": Part(("q",), "v")}
    assert chosen(parts, "a, b,c") == (("a", "p", "q"), "v")
    with pytest.raises(UserError, match="choose a, b, c"):
        chosen(parts, " , ")


@pytest.mark.parametrize("lesson", lessons().values(), ids=lambda lesson: lesson.slug)
def test_every_step_is_framed_with_the_part_that_it_is_about(
    served: SimpleNamespace, lesson: Lesson
) -> None:
    pages = {page.path: parts_of(layout_of(served.lab, page).page) for page in find_pages()}
    for number, step in enumerate(lesson.steps, 1):
        asked = {"embed": "lesson", "lesson": lesson.slug, "lesson_step": str(number)}
        moved = served.http.get("/learn", params={**asked, "__theme": "dark"})
        assert moved.status_code == 307
        begins = urlsplit(urljoin("/learn", moved.headers["location"]))
        assert begins.path == f"/{step.page}"
        assert dict(parse_qsl(begins.query)) == {**step.state, **asked, "__theme": "dark"}
        shown = served.http.get(begins.geturl())
        assert (shown.status_code, framing(shown)) == (200, ("frame-ancestors 'self' *", None))
        parts = pages[step.page]
        panel = beside(step, {name: part.ids for name, part in parts.items()})
        assert panel is not None, f"{lesson.slug} {number}: {step.look} cannot be framed"
        assert step.look in parts[panel].ids
        told = "".join(f', "{each}"' for each in parts[panel].ids)
        assert f'window.tokenariumEmbed={{"ids": ["lesson"{told}]}}' in shown.text


def test_a_step_of_another_page_is_led_there_and_named_parts_stay(served: SimpleNamespace) -> None:
    asked = "lesson=heavy&lesson_step=4&embed=lesson,strip"
    assert served.http.get(f"/?run=r&{asked}").headers["location"].startswith("cache?run=example-")
    own = "/cache?run=r&lesson=heavy&lesson_step=4&embed=lesson,lanes"
    assert 'tokenariumEmbed={"ids": ["lesson", "lanes"]}' in served.http.get(own).text


def event(referer: str) -> Any:
    return SimpleNamespace(
        headers={"referer": referer}, cookies={}, session_hash="s", query_params={}
    )


def test_nothing_is_computed_for_an_embed(served: SimpleNamespace) -> None:
    framed, whole = event("http://h/cache?embed=lanes&run=r"), event("http://h/cache?run=embed")
    assert embedded(framed)
    assert not embedded(whole)
    assert not embedded(event(""))
    assert not embedded(SimpleNamespace())
    layout = layout_of(served.lab, find_pages()[0])
    visit = Visit(served.lab, find_pages()[0])
    told = {part: visit.values.get(name) for name, part in layout.parts.items()}
    go, _ = layout.buttons[MAIN]
    before = len(served.lab.search(visitor="v"))
    fns = [
        fn.fn
        for fn in layout.blocks.fns.values()
        if any(target[0] == go._id for target in fn.targets) and fn.fn
    ]
    assert fns
    found = list(fns[0](told, framed))
    assert [ONLY_SHOWN in str(each[layout.parts["status"]]) for each in found] == [True]
    zoomed = layout._zoom(told, framed)
    pointed = list(layout._point(told, framed))
    assert all(ONLY_SHOWN in str(each[layout.parts["status"]]) for each in (zoomed, *pointed))
    assert len(pointed) == 1
    assert len(served.lab.search(visitor="v")) == before
