"""What the heads of a model do, for policies that treat them by their roles.

Roles come from a probe of repeated random tokens, made once for a model, or from the measurement of
its heads over many texts that the Heads page reads (``tokenarium heads MODEL``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.cache.terms import Measurement
from tokenarium.backend.head_corpus.stored import usual_heads
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.probe.runner import probe
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.settings import Settings

RETRIEVAL = ("echo", "induction")
"""Measures of heads that look for earlier copies of a token, or for what followed them."""
PERIOD = 64
"""Random tokens that the probe repeats, where the model's context has room for four copies."""
_probed: "WeakKeyDictionary[object, HeadRoles]" = WeakKeyDictionary()


@dataclass(frozen=True)
class HeadRoles:
    """What every head of a model does; L layers, H query heads that share G KV heads."""

    fingerprint: str
    """Of the model that was measured."""
    measurement: Measurement
    scores: Mapping[str, NDArray[np.float32]]
    """[L, H] by measure; 0 where a head was not measured."""
    groups: int
    """G."""

    def of_groups(self, measure: str) -> NDArray[np.float32]:
        """Return [L, G] the largest score among the query heads of each KV head."""
        scores = self.scores[measure]
        grouped = scores.reshape(len(scores), self.groups, -1)
        found: NDArray[np.float32] = grouped.max(-1)
        return found


def head_roles(loaded: LoadedModel, measurement: Measurement) -> HeadRoles:
    """Return what the heads of a model do.

    Args:
        loaded: nobody else uses it meanwhile; it is probed once.
        measurement: the probe, or the measurement over texts that is stored here.
    Raises: ValueError where there is no such measurement, or the model cannot be probed.
    """
    if measurement == "probe":
        if loaded.model not in _probed:
            _probed[loaded.model] = _by_probe(loaded)
        return _probed[loaded.model]
    found = usual_heads(Settings(), loaded.fingerprint)
    if found is None:
        raise ValueError(
            f"measured='corpus': the heads of {loaded.name} were not measured over texts here: "
            f"run tokenarium heads {loaded.name}, or take measured='probe'"
        )
    from tokenarium.backend.head_corpus.corpus import MEASURED

    scores = {name: found.mean[MEASURED.index(name)] for name in RETRIEVAL}
    return _roles(loaded, "corpus", scores)


def _by_probe(loaded: LoadedModel) -> HeadRoles:
    period = min(PERIOD, (loaded.context - 1) // 4)
    request = ProbeRequest(model=loaded.name, period=period, repeats=4)
    # Without its tokenizer, which ``tokenarium.apply`` has not got: both draw the same tokens.
    bare = replace(loaded, tokenizer=None)  # type: ignore[arg-type]
    result = probe(request, bare, loaded.context, lambda _: None, CancelToken())
    return _roles(loaded, "probe", {"echo": result.echo, "induction": result.induction})


def _roles(
    loaded: LoadedModel, measurement: Measurement, scores: Mapping[str, NDArray[np.float32]]
) -> HeadRoles:
    known = {name: np.nan_to_num(values).astype(np.float32) for name, values in scores.items()}
    groups = capabilities.layers(loaded).kv_heads
    return HeadRoles(loaded.fingerprint, measurement, known, groups)
