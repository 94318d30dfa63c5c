"""A model whose logits are looked up by the last two tokens: every strategy can be done by hand."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenarium.backend.decoding.calibration import NOTHING, Calibration
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.stepper import Stepper
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.speculation.autoregressive import Reason


def random_table(vocabulary: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    """Return logits [V, V, V] by the token before the last, the last, and the next."""
    draw = torch.Generator().manual_seed(seed)
    return spread * torch.randn((vocabulary,) * 3, generator=draw)


class TableReader:
    """Stands in for the reader of a model; the state after a token is the logits themselves."""

    def __init__(self, table: Tensor, chain_only: str | None = None) -> None:
        self.table, self.chain_only = table, chain_only
        self.ids: list[int] = []
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.passes = self.token_steps = 0

    def row(self, ids: Sequence[int]) -> Tensor:
        return self.table[ids[-2] if len(ids) > 1 else 0, ids[-1]]

    def extend_states(self, ids: Sequence[int], embeddings: Tensor | None = None) -> Tensor:
        assert embeddings is None
        self._count(ids)
        self.keep([])
        self.ids += ids
        first = len(self.ids) - len(ids)
        return torch.stack(
            [self.row(self.ids[: place + 1]) for place in range(first, len(self.ids))]
        )

    def read_states(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        self._count(ids)
        before = len(self.tokens)
        if self.chain_only is not None:
            assert list(parents) == list(range(before - 1, before + len(ids) - 1))
        self.tokens += ids
        self.parents += parents
        return torch.stack(
            [self.row(self.ids + self.path(node)) for node in range(before, len(self.tokens))]
        )

    def path(self, node: int) -> list[int]:
        found: list[int] = []
        while node >= 0:
            found.append(self.tokens[node])
            node = self.parents[node]
        return found[::-1]

    def keep(self, path: Sequence[int]) -> None:
        if path:
            assert self.path(path[-1]) == [self.tokens[node] for node in path]
        self.ids += [self.tokens[node] for node in path]
        self.forget_after(0)

    def forget_after(self, count: int) -> None:
        self.tokens, self.parents = self.tokens[:count], self.parents[:count]

    def rewind(self, count: int) -> None:
        self.forget_after(0)
        del self.ids[len(self.ids) - count :]

    def _count(self, ids: Sequence[int]) -> None:
        self.passes += 1
        self.token_steps += len(ids)


class Ending:
    """Ends after so many tokens, or at the end-of-text token."""

    def __init__(self, most: int, end: int | None = None) -> None:
        self.max_new_tokens, self.end = most, end

    def cut(self, before: list[int], block: list[int]) -> tuple[int, Reason]:
        for count, token in enumerate(block, 1):
            if token == self.end:
                return count, "end"
            if len(before) + count >= self.max_new_tokens:
                return count, "length"
        return len(block), ""


def lane_of(
    strategy: Strategy,
    reader: TableReader,
    prompt: Sequence[int] = (0, 1),
    most: int = 6,
    end: int | None = None,
    seed: int = 0,
    calibration: Calibration = NOTHING,
) -> Lane:
    """Return a lane in which nothing is written yet."""
    stepper = Stepper(reader, lambda states: states)
    stepper.begin(prompt)
    ends = set() if end is None else {end}
    return Lane(
        stepper,
        strategy.pipeline(),
        Ending(most, end),
        ends,
        seed,
        spell=lambda ids: "".join(chr(97 + key) for key in ids),
        calibration=calibration,
    )


def written(strategy: Strategy, table: Tensor, **named: object) -> Lane:
    """Return the lane that a strategy wrote."""
    lane = lane_of(strategy, TableReader(table), **named)  # type: ignore[arg-type]
    strategy.decode(lane)
    return lane
