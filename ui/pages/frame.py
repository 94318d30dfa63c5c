"""What stands around the views whichever is open: selection, headline, token strip, token card."""

from typing import Any

from tokenarium.ui.components.selection import Chosen, selection_value
from tokenarium.ui.components.sentence import sentence
from tokenarium.ui.components.strip import strip_patch, strip_value
from tokenarium.ui.components.token_card import token_card
from tokenarium.ui.views.view import Scene, Values


def frame(scene: Scene, **more: Any) -> Values:
    """Return the value of every part; ``more`` is told to the browser's selection."""
    result, chosen = scene.result, scene.chosen
    return {
        "selection": selection_value(chosen, result, **more),
        "sentence": sentence(result, scene.request.model, partial=chosen.run is None),
        "strip": strip_value(result, chosen),
        "card": token_card(result, chosen),
    }


def frame_changed(scene: Scene, before: Chosen) -> Values:
    """Return only the parts that the step from ``before`` changes."""
    result, now = scene.result, scene.chosen
    places = ("token", "query", "layer", "head")
    found: Values = {}
    if any(getattr(before, place) != getattr(now, place) for place in places):
        found["card"] = token_card(result, now)
    if any(getattr(before, name) != getattr(now, name) for name in ("layer", "head", "metric")):
        found["strip"] = strip_patch(result, now)
    return found
