"""Figures of Audit and Compare, and the answer to a sweep's quality line, open every number."""

from typing import Any

import pytest

import tokenarium
from tests.contracts.opening import assert_all_open, figure_given_again, given_again
from tests.contracts.test_why_costs import Explains
from tests.ui.browser_stub import Visit
from tokenarium.backend import AuditRequest, Lab
from tokenarium.ui.audits.answer import shown
from tokenarium.ui.audits.examples import IMPORTS
from tokenarium.ui.compare.answer import answer
from tokenarium.ui.pages import find_pages
from tokenarium.ui.pages.audit import Audit
from tokenarium.ui.pages.compare import Compare
from tokenarium.ui.why.number import of_figure


@pytest.fixture(autouse=True)
def own(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenarium, "Lab", lambda: lab)


def figures_of(shown: dict[str, Any]) -> dict[str, str]:
    return {name: text for name, text in shown.items() if str(text)[:8] == '{"data":'}


def test_every_figure_of_an_audit_opens(lab: Lab) -> None:
    asked = {"model": "bundled/draft", "text": "Once upon", "token_ids": [5, 6, 7]}
    drawn = {**asked, "sampling": {"temperature": 1.0}}
    runs = [lab.run(lab.request(AuditRequest, **values)) for values in (asked, drawn)]
    runs.append(lab.import_run(next(iter(IMPORTS.values()))))
    seen: set[str] = set()
    for run in runs:
        for name, text in figures_of(shown(lab, run, "")).items():
            figure_given_again(Audit(lab).explained, text, {})
            seen.add(name)
    assert seen == {"gaps", "ranks", "powers", "by_place"}
    told = Audit(lab).explained(of_figure("gaps", [runs[0].id]), "figure_y 0 1")
    assert told["slice"] == "gap[1]"


def test_every_figure_of_a_comparison_opens(lab: Lab) -> None:
    ids = [example.run_id for example in lab.examples("trace")[:2]]
    found = answer(lab, ids, "", "surprisal_nats", None)
    figures = {**found["figures"], **found["heads"]["figures"]}
    for text in figures.values():
        assert figure_given_again(Compare(lab).explained, text, {}, 1) == 1
    assert set(figures) == {"places", "differences", "head_differences", "head_values"}


@pytest.mark.parametrize(
    ("of", "written"),
    [
        ("figure:", "figure_y 0 1"), ("figure:gaps:nowhere:", "figure_y 0 1"),
        ("figure:sinks:example-first-token:", "figure_y 0"), ("figure:a:b:c", ""),
        ("figure:nothing:example-first-token:", "figure_y 0 1"),
        ("figure:sinks:example-first-token:odd", "figure_y 0 1"),
        ("figure:places:example-first-token.example-first-token:odd", "figure_y 0 1"),
        ("figure:sinks:" + ".".join(["example-first-token"] * 9), "figure_y 0 1"),
        ("figure:sinks:example-first-token:", "figure_layout 0 1"),
        ("figure:sinks:example-first-token:", f"figure_y 0 {'9' * 100}"),
    ],
)  # fmt: skip
def test_what_no_figure_has_is_refused_in_words(lab: Lab, of: str, written: str) -> None:
    assert set(Audit(lab).explained(of, written)) == {"error"}


def test_every_number_of_the_budgets_that_hold_a_line_opens(lab: Lab) -> None:
    [page] = (page for page in find_pages() if any(s.slug == "sweep" for s in page.beside))
    visit = Visit(lab, page)
    visit.open(lab.examples("sweep")[0].run_id, "sweep")
    html = next(str(v) for name, v in visit.values.items() if name.endswith("sweep_choice"))
    table = html[html.index("<table") : html.index("</table>")]
    assert_all_open(table, "^$")
    assert given_again(Explains(visit), html, {}) >= 8
