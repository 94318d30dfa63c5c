"""What a model can do, each found out by trying it once and kept as long as the model.

``models.probes`` holds the trials. What a trial refuses is kept as well, and refused again.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from transformers import PreTrainedModel

from tokenarium.backend.models.loaded import LoadedModel, Verdict
from tokenarium.backend.models.probes import (
    branches,
    embedded,
    layout,
    observation,
    positions,
    pruning,
    states,
)
from tokenarium.backend.observe import fresh_rotary
from tokenarium.backend.observe.fresh_rotary import RotarySwitch
from tokenarium.backend.observe.rotary import Rotary

Found = TypeVar("Found")

_known: WeakKeyDictionary[PreTrainedModel, dict[str, Any]] = WeakKeyDictionary()


def verdict(loaded: LoadedModel) -> Verdict:
    """Return whether a model computes the same when it is observed."""
    return _once(loaded, "verdict", lambda: observation.check(loaded))


def rotary(loaded: LoadedModel) -> tuple[Rotary | None, ...]:
    """Return how each layer's keys turn with position; None for a layer without positions.

    Raises:
        ValueError: if some layer's keys depend on their position in another way.
    """
    return _once(loaded, "rotary", lambda: positions.rotary_layers(loaded))


def rotary_switch(loaded: LoadedModel) -> RotarySwitch | None:
    """Return from which length on rotary positions turn otherwise; None where they never do."""
    return _once(loaded, "rotary switch", lambda: fresh_rotary.rotary_switch(loaded.model))


def layers(loaded: LoadedModel) -> layout.Layout:
    """Return which layers keep to a window of their own, and the key-value heads of a layer."""
    return _once(loaded, "layers", lambda: layout.layout(loaded))


def refuse_unless_prunes(loaded: LoadedModel, pruner: pruning.Pruner) -> None:
    """Refuse a model whose layers cannot go on with some of a prompt's tokens alone.

    Raises:
        ValueError: saying why.
    """
    _once(loaded, "pruning", lambda: pruning.refuse_unless_prunes(loaded, pruner))


def refuse_unless_continues(loaded: LoadedModel, read: states.Read) -> None:
    """Refuse a model that does not go on from the states of its layers as it reads a whole text.

    Raises:
        ValueError: saying how far it is off.
    """
    _once(loaded, "continues", lambda: states.refuse_unless_continues(loaded, read))


def refuse_unless_embedded(loaded: LoadedModel) -> None:
    """Refuse a model that does not read a text from its embeddings as it does from token ids.

    Raises:
        ValueError: saying how far it is off.
    """
    _once(loaded, "embedded", lambda: embedded.refuse_unless_embedded(loaded))


def why_chain_only(loaded: LoadedModel, read: branches.Read) -> str | None:
    """Return why drafted tokens must form a chain; None where they may form a tree.

    Raises:
        ValueError: if the model cannot read drafted tokens after a text at all.
    """
    return _once(loaded, "branches", lambda: branches.why_chain_only(loaded, read))


def _once(loaded: LoadedModel, what: str, find: Callable[[], Found]) -> Found:
    """Return what is known of a model, or find it out; a refusal is kept in its words."""
    known = _known.setdefault(loaded.model, {})
    if what not in known:
        try:
            known[what] = find()
        except ValueError as error:
            known[what] = _Refusal(str(error))
    found: Found | _Refusal = known[what]
    if isinstance(found, _Refusal):
        raise ValueError(found.words)
    return found


class _Refusal:
    """The words in which a trial refused a model."""

    def __init__(self, words: str) -> None:
        self.words = words
