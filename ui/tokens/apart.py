"""Views of the Tokens page that compute for a while without a run: asked again, and cancelled."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from tokenarium.backend import Computations, Lab

WAIT_S = 0.8


def apart(
    lab: Lab, asked: Mapping[str, Any], answer: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> dict[str, Any]:
    """Return what a view shows, or that it is computed and by which name it is asked for again.

    Args:
        lab: who computes.
        asked: ``busy`` is the name of what was begun before.
        answer: what the view shows of what is asked.

    Raises:
        UserError: if it cannot be computed, or was cancelled.
    """
    if not asked.get("run"):
        return answer(asked)
    computations, name = _of(lab), asked.get("busy")
    if not isinstance(name, str) or not name:
        name = computations.begin(lambda: answer(asked))
    found = computations.found(name, WAIT_S)
    if found is None:
        form = {key: value for key, value in asked.items() if key != "run"}
        return {**answer(form), "busy": name, "doing": "computing"}
    return found


def ended(lab: Lab, name: str) -> bool:
    """Cancel what a view computes, and return whether there is such."""
    return _of(lab).cancel(name)


def _of(lab: Lab) -> Computations[dict[str, Any]]:
    with _lock:
        return _kept.setdefault(lab, Computations())


_kept: WeakKeyDictionary[Lab, Computations[dict[str, Any]]] = WeakKeyDictionary()
_lock = Lock()
