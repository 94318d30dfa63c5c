"""Judges a step: opens what the page shows, and asks every check of the step."""

from collections.abc import Mapping
from typing import Any

from tokenarium.backend import Lab, Run, UserError
from tokenarium.ui.lessons.checks import checks
from tokenarium.ui.lessons.lesson import Step
from tokenarium.ui.lessons.reading import RUNS
from tokenarium.ui.lessons.seen import Seen, Verdict
from tokenarium.ui.shell.section import MAIN, RunPage
from tokenarium.ui.shell.selection import Selection, number_of

LONGEST_ANSWER = 64
NUMBERS = ("token", "query", "layer", "head", "step", "round", "node")
"""The parts of a selection that are numbers."""


def judge(lab: Lab, page: RunPage, step: Step, state: Mapping[str, Any], answer: object) -> Verdict:
    """Return whether a step is passed by what a page shows.

    Args:
        lab: who opens the runs.
        page: on which the student is.
        step: of the lesson.
        state: the selection as the browser sends it: which run, which place; no number of a run is
            taken from it.
        answer: what the student typed or chose.
    """
    if page.path != step.page:
        return Verdict(False, "This step stands beside another page: press Start again to open it.")
    try:
        return _judged(seen(lab, page, step, state, answer), step)
    except UserError as error:
        return Verdict(False, str(error))


def state_of(step: Step, change: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return a selection as a browser would send it, and the answer.

    Args:
        step: whose state it begins with.
        change: what a student changed, as in ``step.right``.
    """
    merged = {**step.state, **change}
    found: dict[str, Any] = {
        name: number_of(value) if name in NUMBERS else value for name, value in merged.items()
    }
    runs = {name: merged[name] for name in RUNS if name in merged}
    return {**found, "runs": runs}, merged.get("answer", "")


def seen(lab: Lab, page: RunPage, step: Step, state: Mapping[str, Any], answer: object) -> Seen:
    """Return what is in sight, every value inside of what the run has.

    Raises:
        UserError: if no finished run is in sight, or one of another kind.
    """
    chosen = Selection.read(state)
    if chosen.run is None:
        raise UserError("no finished run is in sight: wait for its end, or press Start again")
    run = lab.open(chosen.run)
    if type(run.request) not in page.kinds:
        raise UserError(f"run={run.id} belongs to another page: press Start again")
    beside = {
        name: lab.open(ids.split(".")[0])
        for name, ids in chosen.runs.items()
        if name != MAIN and name in page.sections
    }
    return Seen(
        run,
        page.place(chosen, run.result),
        _begun(lab, step, run),
        chosen.view or next(iter(page.tabs), ""),
        _whole(state.get("round")) or 0,
        _whole(state.get("node")),
        str(answer)[:LONGEST_ANSWER] if isinstance(answer, str | int | float) else "",
        beside,
    )


def _begun(lab: Lab, step: Step, run: Run) -> Run:
    name = step.state.get(MAIN, run.id)
    return run if name == run.id else lab.open(name)


def _judged(sight: Seen, step: Step) -> Verdict:
    known, said = checks(), ""
    for each in step.checks:
        found = known[each.name](sight, **each.parameters)
        if not found.passed:
            return found
        said = f"{said} {found.said}".strip()
    return Verdict(True, said)


def _whole(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < 2**31 else None
