"""Runs of one kind beside each other, every number by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.analysis.intervals import Interval, batch_means
from tokenarium.backend.comparison.spans import Alignment
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.run import Run

if TYPE_CHECKING:
    import pyarrow as pa

    from tokenarium.backend.runs.export import TableFormat

FIGURES, OFFLINE = "tokenarium.ui.figures.beside", "tokenarium.ui.offline.beside"
MARKS = "tokenarium.ui.figures.marks"
"""Looked up when a figure or page is asked for: runs are compared without the interface."""
FORMATS = ("html", "json", "ipynb", "csv", "parquet")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lane:
    """One side of a comparison: a run, or one policy of a run."""

    run_id: str
    name: str
    """What tells it from the others."""
    model: str
    texts: tuple[str, ...]
    """T tokens of the text that is compared, each decoded alone."""
    places: NDArray[np.int32]
    """[T] place of each token along the axis of the comparison; -1 where it has none."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the whole, by name with its unit."""
    reference: int = 0
    """The lane that it is compared with; its own number where it is what others differ from."""
    baseline: bool = False
    """Whether nothing was done in it, as with the full cache."""


@dataclass(frozen=True)
class PlaceMeasure:
    """One number per lane and place."""

    title: str
    unit: str
    meaning: str
    """What is compared, in one sentence."""
    values: Floats
    """[R, N], R lanes and N places; NaN where a lane has no such place."""
    weights: Floats | None = None
    """[R, N] what a number is for, such as the tokens of a round; None counts each as 1."""
    paired: bool = False
    """Whether the same place is the same thing in all lanes, so that differences are averaged."""
    of: str = ""
    """The field of the result that a number is one place of, or a named formula over fields."""
    at: NDArray[np.int32] | None = None
    """[R, N, K] the K indices of that place, -1 where a lane has none."""


def places_of(lanes: Sequence[tuple[int, int]], count: int) -> NDArray[np.int32]:
    """Return [R, N, 2]: the number of a lane within its run, and the place itself.

    Args:
        lanes: of each, that number and how many places it has.
        count: N.
    """
    found = np.full((len(lanes), count, 2), -1, np.int32)
    for row, (number, own) in zip(found, lanes, strict=True):
        row[:own, 0] = number
        row[:own, 1] = np.arange(own)
    return found


def beside(values: Sequence[NDArray[np.generic]], count: int) -> Floats:
    """Return rows [R, N] of ``count`` places, NaN where a lane ends before."""
    found = np.full((len(values), count), np.nan)
    for row, value in zip(found, values, strict=True):
        row[: len(value)] = value
    return found


@dataclass(frozen=True)
class Largest:
    """Where two lanes differ most in a measure."""

    lane: int
    """The one that differs from its reference."""
    place: int
    first: float
    """Value of the reference there."""
    other: float

    @property
    def difference(self) -> float:
        """The lane less its reference."""
        return self.other - self.first


@dataclass(frozen=True, repr=False)
class RunComparison:
    """Two to six stored runs of one kind beside each other; others differ from the first.

    >>> found = lab.compare(["example-first-token", run.id])  # doctest: +SKIP
    >>> found  # doctest: +SKIP
    <RunComparison of 2 traces: 99 and 88 of 99 tokens aligned by token>
    >>> found.difference("surprisal_nats")  # [R, N], less the reference  # doctest: +SKIP
    >>> found.table("place").to_pandas()  # doctest: +SKIP
    >>> found.figure("places", measure="entropy_nats").show()  # doctest: +SKIP
    """

    kind: str
    runs: tuple[Run, ...]
    lanes: tuple[Lane, ...]
    """R, at least two; those of one run follow each other."""
    axis: str
    """What is numbered: token, step, round or point."""
    places: tuple[str, ...]
    """N names, such as the text of a token."""
    measures: Mapping[str, PlaceMeasure]
    """By name; the first one is what the finding is about."""
    alignments: tuple[Alignment | None, ...]
    """R: of the text of every lane with that of its reference; None for a reference itself."""
    heads: Mapping[str, Floats] = field(default_factory=dict)
    """[R, L, H] by measure (see ``MEASURES``); empty where heads cannot be paired."""
    notes: tuple[str, ...] = ()
    """Sentences: what differs between the runs besides, and what could not be compared."""

    def __repr__(self) -> str:
        first = next(filter(None, self.alignments), None)
        said = f"{len(self.places)} {self.axis}s"
        if first is not None:
            said += (
                f", {first.first_aligned} of {first.first_tokens} and {first.second_aligned} of "
                f"{first.second_tokens} tokens aligned by {first.by}"
            )
        return f"<RunComparison of {len(self.runs)} {self.kind} runs: {said}>"

    def measure(self, name: str = "") -> PlaceMeasure:
        """Return a measure by its name; the first one where none is given.

        Raises:
            UserError: naming those there are.
        """
        wanted = name or next(iter(self.measures))
        if wanted not in self.measures:
            raise UserError(f"measure={name!r} is unknown: choose {', '.join(self.measures)}")
        return self.measures[wanted]

    def difference(self, name: str = "") -> Floats:
        """Return [R, N]: a measure less that of the reference; NaN where either has no number."""
        values = self.measure(name).values
        found: Floats = values - values[[lane.reference for lane in self.lanes]]
        return found

    def head_difference(self, name: str) -> Floats:
        """Return [R, L, H]: a measure of the heads less that of the first run.

        Raises:
            UserError: where heads cannot be paired, or naming the measures there are.
        """
        if name not in self.heads:
            there = ", ".join(self.heads) or "none, as heads cannot be paired"
            raise UserError(f"measure={name!r} of heads: choose {there}")
        found: Floats = self.heads[name] - self.heads[name][0]
        return found

    def largest(self, name: str = "") -> Largest | None:
        """Return where a lane differs most from its reference; None where nothing differs."""
        apart = np.abs(self.difference(name))
        if not (apart > 0).any():
            return None
        lane, place = map(int, np.unravel_index(int(np.nanargmax(apart)), apart.shape))
        values = self.measure(name).values
        first = float(values[self.lanes[lane].reference, place])
        return Largest(lane, place, first, float(values[lane, place]))

    def mean(self, name: str = "") -> tuple[Interval | None, ...]:
        """Return R means over the places, with 95 % intervals; None where places are too few.

        Of a measure that is paired they are means of the difference to the reference.
        """
        found = self.measure(name)
        values = self.difference(name) if found.paired else found.values
        weights = np.ones_like(values) if found.weights is None else found.weights
        return tuple(
            batch_means(row * weight, weight) for row, weight in zip(values, weights, strict=True)
        )

    def compared(self, name: str = "") -> int:
        """Return at how many places a lane and its reference both have a number."""
        known = ~np.isnan(self.measure(name).values)
        both = [
            known[at] & known[lane.reference]
            for at, lane in enumerate(self.lanes)
            if lane.reference != at
        ]
        return int(np.any(both, axis=0).sum()) if both else 0

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of its tables."""
        return tuple(self._tables)

    def table(self, name: str = "place") -> "pa.Table":
        """Return ``place`` (a row per lane and place), ``lane``, or ``head`` where there are any.

        Columns that end with ``_difference`` are less the lane's reference.

        Raises:
            UserError: naming the tables there are.
        """
        if name not in self._tables:
            raise UserError(f"table={name!r} is unknown: choose {', '.join(self._tables)}")
        return self._tables[name]

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that can be drawn of it."""
        names: tuple[str, ...] = import_module(FIGURES).names(self)
        return names

    def figure(self, name: str, **choices: Any) -> Any:
        """Return a figure as on the page, a ``plotly.graph_objects.Figure``.

        Args:
            name: one of ``figures``, such as ``places``.
            choices: such as ``measure``.

        Raises:
            UserError: if there is no such figure, or nothing to draw in it.
        """
        return import_module(FIGURES).figure(self, name, **choices)

    def notebook(self) -> str:
        """Return a notebook (nbformat 4.5, JSON) that computes the runs again and compares them."""
        from tokenarium.backend.comparison.export import as_notebook

        return as_notebook(self)

    def html(self) -> str:
        """Return the comparison as one HTML page with linked views, for a browser without network.

        Raises:
            UserError: if it is above 25 MB.
        """
        page: str = import_module(OFFLINE).html(self)
        return page

    def save(
        self,
        path: str | Path,
        format: str = "",  # noqa: A002 - the field's word
        figure: str = "",
        **choices: Any,
    ) -> Path:
        """Write the comparison, or the marks of one figure, to a file and return its path.

        Args:
            path: where; an older file is replaced.
            format: ``html``, ``json``, ``ipynb``, ``csv`` or ``parquet`` (the last two a ZIP of all
                tables); of a figure ``csv``; empty to go by the path's ending.
            figure: one of ``figures``, such as ``places``; empty for all.
            choices: of the figure, such as ``measure``.

        Raises:
            UserError: if the format or figure is unknown.
            OSError: if the file cannot be written.
        """
        target = Path(path)
        wanted = format or target.suffix.removeprefix(".")
        if not figure and not choices:
            target.write_bytes(self.file(wanted))
            return target
        if wanted != "csv":
            raise UserError(f"format={wanted!r} of a figure: a comparison saves it as csv")
        marks: str = import_module(MARKS).marks_csv(self.figure(figure, **choices))
        target.write_text(marks, "utf-8")
        return target

    def file(self, wanted: str) -> bytes:
        """Return the content of the file that ``save`` writes in a format.

        Raises:
            UserError: if the format is unknown.
        """
        from tokenarium.backend.comparison import export

        if wanted in ("csv", "parquet"):
            return export.as_tables(self, cast("TableFormat", wanted))
        if wanted == "html":
            return self.html().encode()
        if wanted == "ipynb":
            return self.notebook().encode()
        if wanted == "json":
            return export.as_json(self).encode()
        raise UserError(f"format={wanted!r} is unknown: choose {', '.join(FORMATS)}")

    @cached_property
    def _tables(self) -> "dict[str, pa.Table]":
        from tokenarium.backend.comparison.tables import tables_of

        return tables_of(self)
