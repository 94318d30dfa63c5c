"""An audit, or figures of another engine, offline: the verdict's evidence, text and figures."""

from collections.abc import Callable, Mapping
from functools import partial

from tokenarium.backend import AuditRequest, AuditResult, ImportResult, Run
from tokenarium.ui.audits import figures as imported
from tokenarium.ui.audits import text as audited
from tokenarium.ui.audits.parts import FIGURES
from tokenarium.ui.figures.audit import figures
from tokenarium.ui.figures.imports import by_place
from tokenarium.ui.offline.part import Part, figure_part, html_part

Views = Mapping[str, Callable[[], list[Part]]]


def sentence(run: Run) -> str:
    """Return the verdict, or what was read, as HTML."""
    if isinstance(run.result, ImportResult):
        return imported.sentence_html(run.result)
    assert isinstance(run.result, AuditResult)
    assert isinstance(run.request, AuditRequest)
    return audited.sentence_html(run.result, run.request.model)


def views(run: Run) -> Views:
    """Return the views of an audit or an import by name."""
    if isinstance(run.result, ImportResult):
        return {"rounds": partial(_imported, run.result)}
    assert isinstance(run.result, AuditResult)
    return {"text": partial(_text, run.result), "evidence": partial(_evidence, run.result)}


def _text(result: AuditResult) -> list[Part]:
    return [html_part("audit-text", audited.tokens_html(result))]


def _evidence(result: AuditResult) -> list[Part]:
    drawn = {name: figure for name, figure in figures(result).items() if figure is not None}
    parts = [figure_part(name, *FIGURES[name], figure) for name, figure in drawn.items()]
    return [html_part("audit-checks", audited.checks_html(result)), *parts]


def _imported(result: ImportResult) -> list[Part]:
    said = imported.rounds_html(result) + imported.definitions_html(result, ())
    parts = [html_part("import-rounds", said), html_part("checks", imported.checks_html(result))]
    figure = by_place(result)
    if figure is not None:
        parts.append(figure_part("by-place", "Acceptance by place", "", figure))
    return parts
