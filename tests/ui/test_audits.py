"""What the Audit page asks, and what it shows of a text that means harm."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_lab
from tokenarium.backend import (
    AuditRequest,
    AuditResult,
    ImportResult,
    Lab,
    Totals,
    UserError,
    definitions,
)
from tokenarium.ui.audits import figures, text
from tokenarium.ui.audits.answer import opened
from tokenarium.ui.audits.examples import IMPORTS, audits
from tokenarium.ui.audits.form import NAMES, asked_again, audit_request
from tokenarium.ui.figures import audit as drawn
from tokenarium.ui.figures.imports import by_place

EVIL = "<script>${alert(1)}{{x}}"


@pytest.fixture(scope="module")
def lab() -> Any:
    with shipped_lab() as made:
        yield made


def audited(lab: Lab, **values: Any) -> AuditResult:
    asked = {"model": "bundled/draft", "text": "Once upon", "token_ids": [5, 6, 7], **values}
    result: AuditResult = lab.run(lab.request(AuditRequest, **asked)).result
    return result


def test_an_example_is_asked_and_asked_again_as_it_was(lab: Lab) -> None:
    for values in audits(lab).values():
        asked = {**values}
        assert set(asked) == set(NAMES)
        request = audit_request(lab, asked)
        assert audit_request(lab, asked_again(request, "")) == request


@pytest.mark.parametrize("typed", ["1, 2", "[1,2]", "1 2", " 1 ,2 "])
def test_ids_are_read_as_they_are_typed(lab: Lab, typed: str) -> None:
    asked = {**next(iter(audits(lab).values())), "token_ids": typed}
    assert audit_request(lab, asked).token_ids == (1, 2)
    for wrong in ("1; 2", "one", "1, x"):
        with pytest.raises(UserError, match="give numbers with commas"):
            audit_request(lab, {**asked, "token_ids": wrong})


def test_nothing_of_a_text_or_a_file_is_markup(lab: Lab) -> None:
    result = replace(
        audited(lab), token_text=(EVIL,) * 3, best_text=(EVIL,) * 3, notes=(EVIL,), position=1
    )
    shown = text.tokens_html(result) + text.sentence_html(result, EVIL) + text.checks_html(result)
    found = lab.import_run('{"rounds": [{"drafted": 1, "accepted": 1}]}').result
    assert isinstance(found, ImportResult)
    evil = replace(found, model=EVIL, notes=(EVIL,), engine=EVIL)
    shown += figures.sentence_html(evil) + figures.rounds_html(evil)
    shown += figures.definitions_html(evil, [(EVIL, definitions(Totals(2, 3, 1, 4)))])
    for mark in ("<script", "${", "{{"):
        assert mark not in shown


def test_figures_draw_what_the_result_has(lab: Lab) -> None:
    greedy = audited(lab)
    found = drawn.figures(greedy)
    assert (found["ranks"], found["powers"]) == (None, None)
    assert found["gaps"] is not None
    np.testing.assert_array_equal(found["gaps"].data[0].y, greedy.gap)
    equal = audited(lab, token_ids=[int(greedy.best_ids[0])])
    assert drawn.figures(equal)["gaps"] is None
    sampled = audited(lab, sampling={"temperature": 1.0})
    found = drawn.figures(sampled)
    assert found["gaps"] is None
    assert found["ranks"] is not None
    assert sum(found["ranks"].data[0].y) == 3
    assert found["powers"] is not None
    np.testing.assert_array_equal(found["powers"].data[0].y, sampled.factor_power)


def test_every_example_of_an_import_is_read_and_drawn(lab: Lab) -> None:
    for content in IMPORTS.values():
        result = lab.import_run(content).result
        assert isinstance(result, ImportResult)
        figure = by_place(result)
        assert figure is not None
        np.testing.assert_array_equal(figure.data[0].y, result.position_share)
        assert result.audit["verdict"] == "passed"


def test_one_page_has_verdict_text_and_evidence(lab: Lab) -> None:
    asked = AuditRequest(model="bundled/draft", text="Once upon", token_ids=(5, 6, 7))
    page = lab.run(asked).html()
    assert "Wrong" in page
    names = [view for view in ("text", "evidence") if lab.run(asked).html(views=[view])]
    assert len(names) == 2
    for content in IMPORTS.values():
        assert "drafted tokens accepted" in lab.import_run(content).html()


def test_what_is_no_audit_is_not_opened(lab: Lab) -> None:
    run = next(iter(lab.search(kind="trace", limit=1)))
    assert "is no audit" in opened(lab, run.id, "")["audit_status"]
    assert "nowhere" in opened(lab, "nowhere", "")["audit_status"]
