"""Where a number of a comparison came from: one place of a result, or a formula over it."""

from tokenarium.backend import PlaceMeasure
from tokenarium.ui.why.number import Source, source


def value_source(measure: PlaceMeasure, lane: int, place: int) -> Source | None:
    """Return the source of a lane's number at a place; None where it has none."""
    if not measure.of or measure.at is None:
        return None
    index = measure.at[lane, place].tolist()
    return None if min(index) < 0 else source(measure.of, *index)
