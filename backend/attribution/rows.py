"""Changed texts after a shared beginning, packed into few passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BATCH_TOKENS = 1024
"""Tokens that are read at once, padding included."""
PADDING = 1.04
"""Most tokens read for each that is no padding."""


@dataclass(frozen=True)
class Row:
    """One changed text."""

    number: int
    """Its place among those that were asked for."""
    ids: tuple[int, ...]
    shared: int
    """Tokens at its beginning that are those of the text itself; at least one is left to read."""
    hidden: tuple[int, ...] = ()
    """Places of the tokens that are hidden from others."""

    @property
    def own(self) -> tuple[int, ...]:
        """The tokens that are left to read."""
        return self.ids[self.shared :]


@dataclass(frozen=True)
class Batch:
    """Rows that are read in one pass, after the same tokens."""

    rows: tuple[Row, ...]
    shared: int
    """Tokens of the text that are not read again."""

    @property
    def width(self) -> int:
        """Tokens of the longest row that are read."""
        return max(len(row.ids) for row in self.rows) - self.shared


def row_of(number: int, ids: Sequence[int], text: Sequence[int]) -> Row:
    """Return a changed text, and how much of its beginning it shares with the text itself.

    ``row_of(0, [1, 2, 9, 4], [1, 2, 3, 4]).shared`` is 2.
    """
    pairs = zip(ids, text, strict=False)
    same = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(ids), len(text)))
    return Row(number, tuple(ids), min(same, len(ids) - 1))


def hiding_row(number: int, text: Sequence[int], hidden: Sequence[int], after: int) -> Row:
    """Return the text with tokens hidden, and how much of its beginning does not notice.

    Args:
        number: its place.
        text: its ids.
        hidden: places, ascending.
        after: how many tokens from the first hidden one on do not notice either.
    """
    first = hidden[0] + after if hidden else len(text)
    return Row(number, tuple(text), min(first, len(text) - 1), tuple(hidden))


def joined(rows: Sequence[Row]) -> Iterator[tuple[Row, ...]]:
    """Yield rows as they come, as many as are read in one pass behind each other."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        if batch and size + len(row.own) > BATCH_TOKENS:
            yield tuple(batch)
            batch, size = [], 0
        batch.append(row)
        size += len(row.own)
    if batch:
        yield tuple(batch)


def packed(rows: Sequence[Row], shares: bool) -> Iterator[Batch]:
    """Yield batches of rows of like length, to be read side by side.

    Args:
        rows: what is to be read.
        shares: whether the model can go on from a stored beginning.
    """
    order = sorted(rows, key=lambda row: (-row.shared if shares else 0, len(row.ids)))
    batch: list[Row] = []
    for row in order:
        if batch and not _fits([*batch, row], shares):
            yield Batch(tuple(batch), _shared(batch, shares))
            batch = []
        batch.append(row)
    if batch:
        yield Batch(tuple(batch), _shared(batch, shares))


def _shared(batch: Sequence[Row], shares: bool) -> int:
    return min(row.shared for row in batch) if shares else 0


def _fits(batch: Sequence[Row], shares: bool) -> bool:
    shared = _shared(batch, shares)
    read = len(batch) * (max(len(row.ids) for row in batch) - shared)
    own = sum(len(row.ids) - (row.shared if shares else 0) for row in batch)
    return read <= BATCH_TOKENS and read <= PADDING * own + 48
