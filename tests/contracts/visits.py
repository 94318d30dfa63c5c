"""Visits of every page, without a browser."""

from typing import Any

import pytest

from tests.ui.browser_stub import Visit
from tokenarium.backend import Lab
from tokenarium.ui.pages import find_pages
from tokenarium.ui.shell.section import MAIN, RunPage

PAGES = find_pages()
SECTIONS = [(page, slug) for page in PAGES for slug in (MAIN, *(s.slug for s in page.beside))]
SHORT = {
    "text": "The old king saw it.",
    "patch_other": "The young queen saw it!",
    "reduce_text": "passages",
    "reduce_tokens": 16,
    "max_new_tokens": 3,
}
LONG = {
    "text": "The old king saw it, and went on. " * 60,
    "patch_other": "The young queen saw it, and went on. " * 60 + "She",
    "max_new_tokens": 400,
}


def visit(lab: Lab, page: type[RunPage]) -> Visit:
    return Visit(lab, page)


def asking(page: Visit, values: dict[str, Any]) -> dict[str, Any]:
    """Return those of the values for which the page has a control."""
    return {name: v for name, v in values.items() if name in page.layout.controls.parts}


def pressed(page: Visit, slug: str, values: dict[str, Any] = SHORT) -> list[dict[str, Any]]:
    return page.run(slug, **asking(page, values))


pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.title)
sections = pytest.mark.parametrize(
    ("page", "slug"), SECTIONS, ids=[f"{page.title}-{slug}" for page, slug in SECTIONS]
)


def ran(lab: Lab, done: dict[Any, Visit], page: type[RunPage], slug: str) -> Visit:
    if (page, slug) not in done:
        done[page, slug] = visit(lab, page)
        pressed(done[page, slug], slug)
    return done[page, slug]
