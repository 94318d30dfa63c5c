"""Every number of the Library opens, and its Python gives it again; every page saves something."""

import ast
from collections.abc import Iterator
from typing import Any

import pytest

import tokenarium
from tests.contracts.opening import assert_all_open, figure_given_again, given_again
from tests.labs import shipped_lab
from tokenarium.backend import Lab, Visitor
from tokenarium.ui.library.asked import Asked
from tokenarium.ui.library.examples import QUESTIONS
from tokenarium.ui.library.listing import listed
from tokenarium.ui.library.query import answered
from tokenarium.ui.pages import every_page
from tokenarium.ui.pages.library import Library
from tokenarium.ui.shell.section import RunPage
from tokenarium.ui.why.library import of_query

NOBODY = Visitor("")


@pytest.fixture(scope="module")
def quiet() -> Iterator[Lab]:
    """A lab in which nothing is stored meanwhile."""
    assert Library in every_page(), "which also makes all others known"
    with shipped_lab() as made:
        yield made


@pytest.fixture
def page(quiet: Lab, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setattr(tokenarium, "Lab", lambda: quiet)
    return Library(quiet)


def test_every_number_of_the_list_is_given_again(quiet: Lab, page: Library) -> None:
    for filters in ({}, {"kind": "trace", "text": "lighthouse"}):
        found = listed(quiet, Asked(filters), NOBODY)
        shown = quiet.count(**filters)
        for part, plain in (("rows", r"\d{4}-\d\d-\d\d \d\d:\d\d"), ("count", r"^1 to \d+ of ")):
            assert_all_open(found[part], plain)
        made: dict[str, dict[str, Any]] = {}
        assert given_again(page, found["rows"], made) == 2 * shown
        assert given_again(page, found["count"], made) == 1


def test_every_number_of_what_is_stored_is_given_again(page: Library) -> None:
    html = page._held(NOBODY)
    assert_all_open(html, r"of the [\d.]+ GB that|“[^”]*”|\d{4}-\d\d-\d\d \d\d:\d\d")
    assert given_again(page, html, {}) == 4 + 2 * len(page.lab.contents().kinds)


def test_every_number_of_a_query_is_given_again(quiet: Lab, page: Library) -> None:
    for question in QUESTIONS[:3]:
        found = answered(quiet, question.sql, NOBODY)
        marks = "".join(
            f'<button data-why="column_{place} {row}">{value:.5g}</button>'
            for place, column in enumerate(found["columns"])
            for row, value in enumerate(column)
            if isinstance(value, int | float)
        )
        seen = given_again(page, f'<div data-run="{found["of"]}">{marks}</div>', {})
        assert seen >= len(found["columns"][0])
    # The figure of the last one, and as it is drawn anew by what a browser sends back.
    told = {"sql": question.sql, "of": found["of"], "names": found["names"]}
    told["columns"] = dict(zip(found["names"], found["columns"], strict=True))
    answer, first = page._answer(told, NOBODY)
    _, again = page._draw({**told, "chosen": answer["chosen"]}, NOBODY)
    for figure in (first, again):
        assert figure is not None
        assert figure_given_again(page.explained, figure, {}) >= 1
    lost = page._draw({**told, "chosen": answer["chosen"], "of": "kept:nothing"}, NOBODY)[1]
    assert lost is not None
    assert "kept:" not in lost


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", 'SELECT\n1 AS "a"', '"""\nprint(1)\n"""', "'\n\\", "a\r\nb", 'b\n""', "é\n\u2028"],
)
def test_a_query_stands_in_python_as_it_was_asked(sql: str) -> None:
    lines = of_query(sql, ["a"], [[1]]).lines
    written = "\n".join(lines).partition("lab.query(")[2].rpartition(")\ncolumns")[0]
    assert ast.literal_eval(written) == sql


def test_a_list_of_one_visitor_is_not_that_of_another(quiet: Lab) -> None:
    lists = [listed(quiet, Asked(), Visitor(name))["count"] for name in ("anna", "bert")]
    assert len(set(lists)) == 2, "each is kept by itself"


def test_every_page_saves_something() -> None:
    for each in every_page():
        assert issubclass(each, RunPage) or each.files, each.title


def test_pages_with_results_open_their_numbers() -> None:
    without = {e.path for e in every_page() if not issubclass(e, RunPage) and not e.numbers}
    assert without == {"learn"}, "it shows lessons, and who passed them: no number of an array"
