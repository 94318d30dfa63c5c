"""What a strategy draws beside its text: named series of points over one pair of axes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

POINT: Final = np.dtype(
    [("drawing", np.int32), ("series", np.int32), ("x", np.float32), ("y", np.float32)]
)
"""A point: of which drawing of the run, of which of its series, and where."""


@dataclass(frozen=True)
class Series:
    """Points of one name, in the order in which they are joined."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Drawing:
    """Series over axes that have titles with units."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Title, titles of the axes, and names of the series."""
        return self.title, self.x, self.y, *(one.name for one in self.series)


def points_of(drawings: Sequence[Drawing]) -> NDArray[np.void]:
    """Return the points of all drawings, one after another."""
    rows = [
        (number, place, x, y)
        for number, drawing in enumerate(drawings)
        for place, series in enumerate(drawing.series)
        for x, y in zip(series.x, series.y, strict=True)
    ]
    return np.array(rows, POINT)


def drawing_of(words: Sequence[str], points: NDArray[np.void]) -> Drawing:
    """Return a drawing by its words and its own points."""
    title, x, y, *names = words
    own = [points[points["series"] == place] for place in range(len(names))]
    return Drawing(
        title,
        x,
        y,
        tuple(
            Series(name, rows["x"].tolist(), rows["y"].tolist())
            for name, rows in zip(names, own, strict=True)
        ),
    )
