"""Runs beside each other as one file: the Compare page without a server; of drafters, the race."""

from typing import Any

from tokenarium.backend import Run, RunComparison, SpeculationResult, UserError
from tokenarium.ui.compare.answer import TEMPLATE, shown
from tokenarium.ui.components import race
from tokenarium.ui.offline.about import foot_of, heading
from tokenarium.ui.offline.page import MOST_BYTES, document
from tokenarium.ui.offline.part import Part, different
from tokenarium.ui.offline.tables import tables_html
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import unmarked


def html(comparison: RunComparison) -> str:
    """Return a comparison as one HTML page with linked views, for a browser without a network.

    Raises:
        UserError: if the file would be above 25 MB.
    """
    parts = [Part("compare", "offlineCompare", TEMPLATE, _value(comparison))]
    if racers := _racers(comparison.runs):
        parts.insert(0, Part("race", "race", race.TEMPLATE, race.race_value(racers)))
    models = list(dict.fromkeys(lane.model for lane in comparison.lanes))
    name = "A race of drafters" if racers else "Runs beside each other"
    facts = f"{many(len(comparison.runs), 'run')} of {escape(', '.join(models))}"
    page = document(
        name,
        heading(name, facts, ""),
        parts,
        tables_html(comparison, "comparison") + foot_of(comparison.runs),
        {"arrows": "token", "state": {}},
    )
    if len(page.encode()) > MOST_BYTES:
        size, most = len(page.encode()) / 1e6, MOST_BYTES // 1_000_000
        raise UserError(
            f"the page would take {size:.1f} MB, above {most} MB: compare fewer runs, or shorter"
        )
    return page


def _value(comparison: RunComparison) -> dict[str, Any]:
    """Return what is drawn at first, and what is different by every other measure."""
    first = _plain(shown(comparison))
    places = {
        name: list(different(first, _plain(shown(comparison, name))))
        for name in comparison.measures
    }
    heads = {
        name: list(different(first, _plain(shown(comparison, None, name))))
        for name in comparison.heads
    }
    return {"first": first, "places": places, "heads": heads}


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without what asks a server: numbers that open, links to runs."""
    lanes = [{**lane, "address": ""} for lane in answer["lanes"]]
    said = {name: unmarked(answer[name]) for name in ("sentence", "table")}
    return {**answer, **said, "lanes": lanes, "ids": [], "offers": [], "answer": True}


def _racers(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Return runs of drafters that went on from the same prompt; of others none."""
    results = [run.result for run in runs]
    guessed = [result for result in results if isinstance(result, SpeculationResult)]
    prompts = {result.prompt_ids.tobytes() for result in guessed}
    return runs if len(guessed) == len(runs) and len(prompts) == 1 else ()
