"""A model whose logits are looked up by the last two tokens: every strategy can be done by hand.

An embedding is a mixture of tokens, and what follows it the mixture of what follows them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenarium.backend.decoding.allowed import Allowed, Vocabulary
from tokenarium.backend.decoding.calibration import NOTHING, Calibration
from tokenarium.backend.decoding.lane import Lane
from tokenarium.backend.decoding.stepper import Stepper
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.decoding.watching_reader import Seen
from tokenarium.backend.speculation.autoregressive import Reason


def random_table(vocabulary: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    """Return logits [V, V, V] by the token before the last, the last, and the next."""
    draw = torch.Generator().manual_seed(seed)
    return spread * torch.randn((vocabulary,) * 3, generator=draw)


def small_table(table: Tensor) -> Tensor:
    """Return logits [V, V, V] of a model that is surer of its own, and often of something else."""
    return 1.5 * (table + table.roll(1, -1))


LAYERS = 4


def layer_logits(row: Tensor) -> Tensor:
    """Return logits [LAYERS, V] that earlier layers would have, of those [V] after the last."""
    made = [row * (layer + 1) / LAYERS + row.roll(LAYERS - layer - 1) for layer in range(LAYERS)]
    made[-1] = row
    return torch.stack(made)


def attention_of(ids: Sequence[int]) -> Tensor:
    """Return attention weights [2, S] of the last token of a text on all its tokens."""
    at = torch.arange(len(ids)) + 3.0 * torch.tensor(ids)
    return torch.softmax(2 * torch.stack([at.sin(), (2 * at).cos()]), -1)


class TableReader:
    """Stands in for the reader of a model; the state after a token is the logits themselves."""

    def __init__(self, table: Tensor, chain_only: str | None = None) -> None:
        self.table, self.chain_only = table, chain_only
        self.ids: list[int] = []
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.passes = self.token_steps = 0
        self.soft: dict[int, Tensor] = {}  # [V] weights by place in the text
        self.seen: list[Seen] = []

    def row(self, ids: Sequence[int]) -> Tensor:
        if not self.soft:
            return self.table[ids[-2] if len(ids) > 1 else 0, ids[-1]]
        last = len(ids) - 1
        weights = [
            self.soft.get(place, torch.eye(len(self.table))[ids[place]])
            for place in (last - 1, last)
        ]
        return torch.einsum("a,b,abv->v", *weights, self.table)

    def embed(self, ids: Sequence[int]) -> Tensor:
        return torch.eye(len(self.table))[list(ids)]

    def slope(self, ids: Sequence[int], embeddings: Tensor, targets: int) -> tuple[float, Tensor]:
        self._count(ids[:-1])
        end = len(ids) - targets
        with torch.inference_mode(False), torch.enable_grad():
            at = embeddings.detach().clone().requires_grad_(True)
            read = torch.cat(
                [torch.eye(len(self.table))[list(ids[: end - len(at)])], at,
                 torch.eye(len(self.table))[list(ids[end:])]]
            )  # fmt: skip
            value: Tensor = sum(  # type: ignore[assignment]
                torch.log_softmax(
                    torch.einsum("a,b,abv->v", read[place - 2], read[place - 1], self.table), -1
                )[ids[place]]
                for place in range(end, len(ids))
            )
            (found,) = torch.autograd.grad(value, at)
        return float(value.detach()), found

    def vocabulary_keys(self) -> Tensor:
        return torch.randn(len(self.table), 3, generator=torch.Generator().manual_seed(5))

    def early_logits(self, states: Tensor, normed: bool) -> Tensor:
        return states if normed else states / 2

    def extend_states(self, ids: Sequence[int], embeddings: Tensor | None = None) -> Tensor:
        self._count(ids)
        self.keep([])
        self.ids += ids
        first = len(self.ids) - len(ids)
        for place, weights in enumerate([] if embeddings is None else embeddings, first):
            self.soft[place] = weights
        return self._read([self.ids[: place + 1] for place in range(first, len(self.ids))])

    def read_states(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        self._count(ids)
        before = len(self.tokens)
        if self.chain_only is not None:
            assert list(parents) == list(range(before - 1, before + len(ids) - 1))
        self.tokens += ids
        self.parents += parents
        return self._read([self.ids + self.path(node) for node in range(before, len(self.tokens))])

    def _read(self, texts: list[list[int]]) -> Tensor:
        rows = [self.row(ids) for ids in texts]
        self.seen = [
            Seen(layer_logits(row), attention_of(ids)) for row, ids in zip(rows, texts, strict=True)
        ]
        return torch.stack(rows)

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
        self.soft = {place: known for place, known in self.soft.items() if place < len(self.ids)}

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
    small: Tensor | None = None,
) -> Lane:
    """Return a lane in which nothing is written yet."""
    stepper = Stepper(reader, lambda states: states)
    stepper.begin(prompt)
    ends = set() if end is None else {end}
    beside = small_table(reader.table) if small is None else small
    return Lane(
        stepper,
        strategy.pipeline(),
        Ending(most, end),
        ends,
        seed,
        spell=lambda ids: "".join(chr(97 + key) for key in ids),
        calibration=calibration,
        allowing=lambda constraint: Allowed(
            constraint,
            Vocabulary(
                {key: bytes([97 + key]) for key in range(len(reader.table)) if key != end},
                ends,
                len(reader.table),
            ),
        ),
        encode=lambda text: [
            ord(one) - 97 for one in text if ord(one) - 97 in range(len(reader.table))
        ],
        small=Stepper(TableReader(beside), lambda states: states) if strategy.small else None,
    )


def written(strategy: Strategy, table: Tensor, **named: object) -> Lane:
    """Return the lane that a strategy wrote."""
    lane = lane_of(strategy, TableReader(table), **named)  # type: ignore[arg-type]
    strategy.decode(lane)
    return lane
