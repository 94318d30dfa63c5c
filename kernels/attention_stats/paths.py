"""By which code a CPU computes attention statistics, and why: decided once per process."""

import os
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Literal, get_args

from tokenarium.kernels.attention_stats.native.build import UnavailableError, build
from tokenarium.kernels.attention_stats.native.library import Library, load
from tokenarium.kernels.attention_stats.trial import difference, native_share

Wish = Literal["auto", "panels", "native"]
VARIABLE = "TOKENARIUM_STATISTICS"
PANELS, NATIVE = "pytorch panels", "native kernel"
TOLERANCE = 1e-4
"""Largest difference between the two, relative above 1: far above float32's rounding, far below
what a wrongly compiled kernel gives."""
PAYS = 0.95
"""Share of the panels' time below which the native kernel is taken."""

_deciding = Lock()
_wished: Wish | None = None


@dataclass(frozen=True)
class Chosen:
    """A path by name, why it was chosen, and the compiled kernel where it is that."""

    name: str
    reason: str
    library: Library | None = None


def prefer(wish: Wish) -> Chosen:
    """Decide by a setting instead of by the variable, now; it compiles where that is needed."""
    global _wished
    _wished = wish
    return chosen()


def chosen() -> Chosen:
    """Return the path for this process, deciding if nobody has.

    Raises:
        ValueError: if the variable has a value that it cannot have.
    """
    wish = _wished or os.environ.get(VARIABLE, "auto")
    if wish not in get_args(Wish):
        raise ValueError(f"{VARIABLE}={wish} is not one of {', '.join(get_args(Wish))}")
    with _deciding:
        return _decide(wish)


@lru_cache(maxsize=3)
def _decide(wish: str) -> Chosen:
    if wish == "panels":
        return Chosen(PANELS, "asked for by the option statistics")
    try:
        compiled = build()
        library = load(compiled)
        off = difference(library)
        if not off < TOLERANCE:
            return Chosen(PANELS, f"the compiled kernel differs from them by {off:.1e}")
        share = 0.0 if wish == "native" else native_share(library, compiled.with_suffix(".json"))
    except (UnavailableError, OSError, AttributeError) as error:
        return Chosen(PANELS, f"no compiled kernel: {error}")
    if wish == "native":
        return Chosen(NATIVE, "asked for by the option statistics", library)
    tried = f"the compiled kernel takes {share:.2f} of the panels' time on this processor"
    return Chosen(NATIVE, tried, library) if share < PAYS else Chosen(PANELS, tried)
