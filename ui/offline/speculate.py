"""A run that guesses ahead, offline: text, rounds and the tree of every round."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tokenarium.backend import Lab, Rule, Run, SpeculationResult
from tokenarium.ui.components import speculation
from tokenarium.ui.components.speculate_tables import audit_badge, measures_table
from tokenarium.ui.components.trees import tree_value
from tokenarium.ui.offline.part import Part, html_part
from tokenarium.ui.why.number import unmarked


def state(run: Run) -> dict[str, Any]:
    """Return where the page begins: at the first round."""
    return {"round": 0, "node": None, "rounds": len(_result(run).rounds)}


def trees(run: Run) -> list[dict[str, Any]]:
    """Return the tree of every round."""
    result = _result(run)
    return [tree_value(result, number, _titles()) for number in range(len(result.rounds))]


def views(run: Run) -> Mapping[str, Callable[[], list[Part]]]:
    """Return the views of a run by name."""
    return {"rounds": partial(_rounds, run), "measures": partial(_measures, run)}


def _rounds(run: Run) -> list[Part]:
    value = speculation.speculation_value(_result(run), run.id, _titles())
    return [Part("speculation", "speculation", speculation.template(), value)]


def _measures(run: Run) -> list[Part]:
    result = _result(run)
    return [
        html_part("measures", measures_table(result)),
        html_part("audit", unmarked(audit_badge(result.audit))),
    ]


def _titles() -> dict[str, str]:
    return {rule.slug: rule.title for rule in Lab.methods(Rule)}


def _result(run: Run) -> SpeculationResult:
    assert isinstance(run.result, SpeculationResult)
    return run.result
