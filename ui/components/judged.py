"""What the browser needs to colour the token strip by a measure of a judged text."""

from typing import Any

import numpy as np

from tokenarium.backend import JudgeResult, Measure
from tokenarium.ui.components.strip import packed_numbers

GROUP = "Judged"
PREFIX = "judge_"
"""Stands before a measure's slug where it is a colouring of the strip, in addresses too."""


def judged_patch(result: JudgeResult, run_id: str = "") -> dict[str, Any]:
    """Return the colourings of the strip that a judged text adds to it, one for each measure."""
    found: dict[str, Any] = {}
    for number, slug in enumerate(result.measures):
        measure = Measure.registry.find(slug)
        values = result.token_score[number]
        if np.isfinite(values).any():
            found[PREFIX + slug] = {
                "title": f"{measure.title}: {measure.each_title}",
                "button": measure.short,
                "group": GROUP,
                "more": False,
                "unit": measure.each_unit,
                "scale": "linear",
                "meaning": measure.explanation,
                "formula": measure.each_formula,
                "total": False,
                "few": None,
                "why": f"judged_unit {number}",
                "whose": run_id,
                **packed_numbers(values),
            }
    return {"patch": found}
