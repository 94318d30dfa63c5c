"""Runs whose text is the view, offline: an attribution's map, and scores of a judged text."""

from collections.abc import Callable, Mapping
from functools import partial

from tokenarium.backend import AttributeResult, JudgeResult, Run
from tokenarium.ui.components.attribution import attribution_map
from tokenarium.ui.components.judged_table import judged_definitions, judged_table
from tokenarium.ui.offline.part import Part, html_part

Views = Mapping[str, Callable[[], list[Part]]]


def attributed(run: Run) -> Views:
    """Return the text coloured by what each unit did for the target."""
    assert isinstance(run.result, AttributeResult)
    html = partial(attribution_map, run.result, clicks=False)
    return {"map": lambda: [html_part("attribution", html())]}


def judged(run: Run) -> Views:
    """Return every score beside chance, and how it is defined."""
    return {"scores": partial(_scores, run)}


def _scores(run: Run) -> list[Part]:
    assert isinstance(run.result, JudgeResult)
    return [
        html_part("judge-scores", judged_table(run.result)),
        html_part("judge-definitions", judged_definitions(run.result)),
    ]
