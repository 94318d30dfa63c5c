"""What the Audit page shows of a run, and how it is asked for."""

from collections.abc import Iterator
from typing import Any

from plotly.graph_objects import Figure

from tokenarium.backend import (
    AuditRequest,
    AuditResult,
    Cancelled,
    Finished,
    ImportRequest,
    ImportResult,
    Lab,
    ModelRequest,
    Run,
    SpeculateRequest,
    SpeculationResult,
    UserError,
)
from tokenarium.ui.audits import figures as imported
from tokenarium.ui.audits import text as audited
from tokenarium.ui.audits.form import asked_again, of_speculation
from tokenarium.ui.components.plot import figure_json
from tokenarium.ui.components.sentence import status, told
from tokenarium.ui.figures import audit as audit_figures
from tokenarium.ui.figures.imports import by_place
from tokenarium.ui.figures.picture import beginning, credit
from tokenarium.ui.figures.style import caption, opening
from tokenarium.ui.why.number import of_figure, of_run

Shown = dict[str, Any]
TAKEN = "Prompt, text and settings of that run are filled in: press Audit."


def answered(lab: Lab, request: ModelRequest, visitor: str, said: str) -> Iterator[Shown]:
    """Ask, and yield what is known: progress, then the run.

    Args:
        lab: who answers.
        request: an audit or an import.
        visitor: who asks.
        said: name of the part that says how far it is.
    """
    try:
        ticket = lab.start(request, visitor=visitor)
        yield {said: status("Reading ..."), "running": ticket.id}
        for event in lab.follow(ticket.id, visitor=visitor):
            if isinstance(event, Finished):
                yield {said: "", "running": "", "shown": event.run.id, **shown(lab, event.run,
                                                                              visitor)}  # fmt: skip
            else:
                yield {said: told(event)}
    except (UserError, Cancelled) as error:
        yield {said: status(str(error), "error"), "running": ""}


def opened(lab: Lab, run_id: str, visitor: str) -> Shown:
    """Return a stored audit or import with its controls, or in words why not."""
    try:
        run = lab.open(run_id, visitor=visitor)
    except UserError as error:
        return {"audit_status": status(str(error), "error")}
    found = shown(lab, run, visitor)
    if not found:
        words = f"run {run_id} is no audit and no import: open it from the Library"
        return {"audit_status": status(words, "error")}
    if isinstance(run.request, AuditRequest) and isinstance(run.result, AuditResult):
        found |= asked_again(run.request, run.result.text)
    if isinstance(run.request, ImportRequest):
        found["log"] = run.request.content
    return {**found, "shown": run.id}


def taken(lab: Lab, run_id: str, visitor: str) -> Shown:
    """Return the controls for the text of a stored speculative run, or in words why not."""
    try:
        run = lab.open(run_id, visitor=visitor)
    except UserError as error:
        return {"audit_status": status(str(error), "error")}
    asked, result = run.request, run.result
    if not isinstance(asked, SpeculateRequest) or not isinstance(result, SpeculationResult):
        words = f"run {run_id} did not draft and verify: give a prompt and a text by hand"
        return {"audit_status": status(words, "error")}
    return {**of_speculation(asked, result), "audit_status": status(TAKEN)}


def shown(lab: Lab, run: Run, visitor: str) -> Shown:
    """Return the parts that show a run; none of a run of another kind."""
    result = run.result
    if isinstance(result, AuditResult):
        model = run.request.model if isinstance(run.request, AuditRequest) else ""
        return {
            "audit_said": of_run(audited.sentence_html(result, model), run.id),
            "audit_text": audited.tokens_html(result),
            "audit_checks": of_run(audited.checks_html(result), run.id),
            **{
                name: _drawn(run, name, drawn)
                for name, drawn in audit_figures.figures(result).items()
            },
        }
    if isinstance(result, ImportResult):
        drawn = by_place(result)
        own = imported.own_runs(lab, visitor)
        return {
            "import_said": of_run(imported.sentence_html(result), run.id),
            "import_rounds": imported.rounds_html(result),
            "import_lengths": of_run(imported.definitions_html(result, own), run.id),
            "import_checks": of_run(imported.checks_html(result), run.id),
            "by_place": _drawn(run, "by_place", drawn),
        }
    return {}


def _drawn(run: Run, name: str, figure: Figure | None) -> str | None:
    """Return a figure as the browser reads it, with what stands under its picture."""
    if figure is None:
        return None
    opening(figure, of_figure(name, [run.id]))
    if isinstance(run.request, ImportRequest):
        return figure_json(caption(figure, f"Tokenarium · run {run.id}"))
    return figure_json(
        caption(figure, credit(run.request, run.result, run.id), beginning(run.request))
    )
