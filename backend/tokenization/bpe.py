"""Merging pairs of tokens, whatever decides which pair comes first."""

import heapq
from collections.abc import Callable, Iterator, Sequence

from tokenarium.backend.tokenization.vocabulary import Merge, Vocabulary


def merged(
    symbols: Sequence[int],
    merges: dict[tuple[int, int], Merge],
    priority: Callable[[Merge], int] = lambda merge: merge.rank,
    dropped: Callable[[], bool] = lambda: False,
) -> list[int]:
    """Return what byte-pair encoding makes of symbols (Sennrich et al., 2016, arXiv:1508.07909).

    Of all neighbours that can be merged the pair of the lowest priority goes first, of equal ones
    the leftmost. ``[a, b, c]`` with the merges ``a b`` (0) and ``b c`` (1) gives ``[ab, c]``.

    Args:
        symbols: what a piece begins as.
        merges: what pairs of tokens become.
        priority: of a merge; its rank in BPE.
        dropped: asked at every step for every pair that could be merged; true leaves it out of
            this step.
    """
    return list(merged_places(symbols, merges, priority, dropped).values())


def merged_places(
    symbols: Sequence[int],
    merges: dict[tuple[int, int], Merge],
    priority: Callable[[Merge], int] = lambda merge: merge.rank,
    dropped: Callable[[], bool] = lambda: False,
) -> dict[int, int]:
    """Return ``merged`` by the number of the symbol with which each token begins."""
    last: dict[int, int] = {}
    for last in _merging(symbols, merges, priority, dropped):  # noqa: B007 - the last one is wanted
        pass
    return last


def steps(
    symbols: Sequence[int],
    merges: dict[tuple[int, int], Merge],
    priority: Callable[[Merge], int] = lambda merge: merge.rank,
    dropped: Callable[[], bool] = lambda: False,
) -> Iterator[list[int]]:
    """Yield the tokens after every merge, the symbols themselves first; see ``merged``."""
    for tokens in _merging(symbols, merges, priority, dropped):
        yield list(tokens.values())


def _merging(
    symbols: Sequence[int],
    merges: dict[tuple[int, int], Merge],
    priority: Callable[[Merge], int],
    dropped: Callable[[], bool],
) -> Iterator[dict[int, int]]:
    """Yield the tokens by place after every merge: one dictionary, which goes on changing.

    A copy at each merge would make a long piece cost the square of its length.
    """
    tokens: dict[int, int] = dict(enumerate(symbols))
    before = {place: place - 1 for place in tokens}
    after = {place: place + 1 for place in tokens}
    waiting: list[tuple[int, int, int, int]] = []

    def look(left: int) -> None:
        right = after.get(left, -1)
        if left in tokens and right in tokens:
            merge = merges.get((tokens[left], tokens[right]))
            if merge:
                entry = (priority(merge), left, tokens[left], tokens[right])
                heapq.heappush(waiting, entry)

    for place in tokens:
        look(place)
    yield tokens
    while waiting:
        skipped = []
        while waiting:
            entry = heapq.heappop(waiting)
            _, left, first, second = entry
            right = after.get(left, -1)
            if tokens.get(left) != first or tokens.get(right) != second:
                continue
            if not dropped():
                break
            skipped.append(entry)
        else:
            return
        tokens[left] = merges[first, second].token
        del tokens[right]
        after[left] = after[right]
        if after[right] in before:
            before[after[right]] = left
        for entry in skipped:
            heapq.heappush(waiting, entry)
        look(left)
        if before[left] in tokens:
            look(before[left])
        yield tokens


def refuse_without_merges(vocabulary: Vocabulary, what: str) -> None:
    """Refuse a vocabulary that is not of byte-pair encoding.

    Raises:
        ValueError: naming what needs merges.
    """
    if not vocabulary.merges:
        raise ValueError(
            f"{what} needs a list of merges, and {vocabulary.title} is of the kind "
            f"{vocabulary.model}: choose another segmenter, or a tokenizer of BPE"
        )
