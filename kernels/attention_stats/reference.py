"""Causal grouped-query attention with statistics, from panels of whole rows in PyTorch.

A panel is a block of queries of one key-value group, all heads of the group as rows, against every
key those queries can see. One softmax over the panel gives the weights; the output and every
statistic are read from it while it is in cache, and the panel is dropped. Work above the diagonal
and outside the window is skipped, so memory is that of a few panels: O(T).
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from kernels.attention_stats import workers
from kernels.attention_stats.declaration import AttentionStats, Grid, Want
from kernels.attention_stats.product import fastest
from kernels.attention_stats.tiles import TileSums, column_sums

HIDDEN = -1e30  # finite: a weight of zero times minus infinity would be NaN in the entropy
CHUNKS = 8
PANEL_WEIGHTS = 1 << 20
BLOCK = range(32, 257)
"""Queries in a panel: many where few keys are seen, so that operators have enough to do."""
SMALL = 1 << 19
"""Below this many weights one worker is enough."""


@torch.inference_mode()
def attention_stats(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scaling: float,
    want: Want,
    offset: int | None = None,
    window: int | None = None,
    softcap: float | None = None,
    sinks: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, AttentionStats]:
    """Compute attention as ``kernels.attention_stats`` documents it, on any device."""
    attention = _Panels(
        q,
        k,
        v,
        scaling=scaling,
        want=want,
        offset=offset,
        window=window,
        softcap=softcap,
        sinks=sinks,
        mask=mask,
    )
    attention.run()
    return attention.out.flatten(1, 2), attention.stats()


class _Panels:
    """The inputs and the accumulators of one attention layer."""

    def __init__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        scaling: float,
        want: Want,
        offset: int | None = None,
        window: int | None = None,
        softcap: float | None = None,
        sinks: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        heads, self.queries, _ = q.shape
        self.groups, self.keys = k.shape[:2]
        self.per_group = heads // self.groups
        split = (self.groups, self.per_group)
        self.q = (q.float() * (scaling / softcap if softcap else scaling)).unflatten(0, split)
        # Models hand over views with heads and tokens swapped, on which oneDNN is slow.
        self.k, self.v = k.float().contiguous(), v.float().contiguous()
        self.want, self.window, self.softcap = want, window, softcap
        self.offset = self.keys - self.queries if offset is None else offset
        self.sinks = None if sinks is None else sinks.float().view(*split, 1, 1)
        self.mask = None if mask is None else mask.expand(heads, -1, -1).unflatten(0, split)
        fitting = PANEL_WEIGHTS // (self.per_group * self.keys)
        self.block = min(max(fitting, BLOCK.start), BLOCK.stop - 1)
        new = partial(torch.full, fill_value=float("nan"), device=q.device)
        rows = (*split, self.queries)
        self.out = torch.empty(self.queries, *split, v.shape[2], dtype=q.dtype, device=q.device)
        self.entropy = new(rows) if want.entropy else None
        self.distance = new(rows) if want.distance else None
        self.columns = new((*split, len(want.columns), self.queries)) if want.columns else None
        self.diagonals = (
            new((*split, len(want.diagonals), self.queries)) if want.diagonals else None
        )
        self.tiles = TileSums(want.tiles, split, self.offset, q.device) if want.tiles else None
        self.chunks = self._chunks(want.tiles)
        self.received = (
            torch.zeros(len(self.chunks), *split, self.keys, device=q.device)
            if want.received
            else None
        )
        self.factors = _query_factors(want, self.queries, q.device)
        self.summed = (
            torch.zeros(len(self.chunks), *split, len(self.factors), self.keys, device=q.device)
            if len(self.factors)
            else None
        )
        edge = torch.full((self.block, self.block), HIDDEN, device=q.device)
        self.after, self.before = edge.triu(1), edge.tril(-1)

    def _blocks(self, grid: Grid | None) -> list[tuple[int, int]]:
        """Cut the queries into blocks of whole tile rows, or of parts of one tall tile row."""
        edges = () if grid is None else grid.queries.edges
        ends = [edge - self.offset for edge in edges if 0 < edge - self.offset < self.queries]
        blocks, start = [], 0
        for end, following in pairwise([*ends, self.queries, self.queries + self.block]):
            while end - start > self.block:
                blocks.append((start, start + self.block))
                start += self.block
            if following - start > self.block and end > start:
                blocks.append((start, end))
                start = end
        return blocks

    def _chunks(self, grid: Grid | None) -> list[list[tuple[int, int]]]:
        """Group blocks into jobs that end where tile rows do: no two jobs add to the same tile.

        Every sum is then added up in one order, whatever the number of workers.
        """
        edges = None if grid is None else {edge - self.offset for edge in grid.queries.edges}
        chunks: list[list[tuple[int, int]]] = [[]]
        for block in self._blocks(grid):
            whole = edges is None or block[0] in edges
            if whole and chunks[-1] and block[0] - chunks[-1][0][0] >= self.queries / CHUNKS:
                chunks.append([])
            chunks[-1].append(block)
        return chunks

    def run(self) -> None:
        """Compute every panel: on a CPU by workers, longest first, elsewhere all groups at once."""
        if self.q.device.type != "cpu":
            for index in range(len(self.chunks)):
                self._chunk(index, slice(0, self.groups))
            return
        jobs = [
            partial(self._chunk, index, slice(group, group + 1))
            for index in reversed(range(len(self.chunks)))
            for group in range(self.groups)
        ]
        small = self.q[..., 0].numel() * self.keys < SMALL
        workers.run(jobs, 1 if small else min(torch.get_num_threads(), len(jobs)))

    @torch.inference_mode()  # a mode of the thread, so each worker enters it
    def _chunk(self, index: int, groups: slice) -> None:
        for start, stop in self.chunks[index]:
            self._panel(index, groups, start, stop)

    def _panel(self, chunk: int, groups: slice, start: int, stop: int) -> None:
        """Compute the queries [start, stop) of some groups, weights [n, per_group, rows, keys]."""
        newest = min(self.keys, self.offset + stop)
        oldest = 0 if self.window is None else max(0, self.offset + start - self.window + 1)
        scores = self._scores(groups, start, stop, oldest, newest)
        if self.want.entropy or self.sinks is not None:
            weights, entropy = self._softmax_entropy(scores, groups)
            if self.entropy is not None:
                self.entropy[groups, :, start:stop] = entropy
        else:
            weights = torch.softmax(scores, -1)
        out = self._product(weights, self.v[groups, oldest:newest].mT)
        self.out[start:stop, groups] = out.permute(2, 0, 1, 3)
        if self.distance is not None:
            self.distance[groups, :, start:stop] = self._distances(weights, start, oldest)
        if self.columns is not None:
            for n, column in enumerate(self.want.columns):
                seen = oldest <= column < newest
                found = weights[..., column - oldest] if seen else 0.0
                self.columns[groups, :, n, start:stop] = found
        for n, back in enumerate(self.want.diagonals):
            self._diagonal(n, back, weights, groups, start, oldest)
        if self.summed is not None:
            add = self.factors[:, start:stop] @ weights
            self.summed[chunk, groups, :, :, oldest:newest] += add
        received = None if self.received is None else self.received[chunk, groups]
        if self.tiles is not None:
            self.tiles.add(weights, groups, start, oldest, received)
        elif received is not None:
            received[..., oldest:newest] += column_sums(weights)

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a [n, per_group, rows, x] times b [n, y, x] transposed."""
        rows = a.flatten(1, 2)
        on_cpu = a.device.type == "cpu"
        product = fastest()[0](rows[0], b[0])[None] if on_cpu else rows @ b.mT
        return product.view(*a.shape[:3], b.shape[1])

    def _scores(self, groups: slice, start: int, stop: int, oldest: int, newest: int) -> Tensor:
        """Logits of a panel, hidden where the query may not look."""
        scores = self._product(self.q[groups, :, start:stop], self.k[groups, oldest:newest])
        if self.softcap is not None:
            scores.tanh_().mul_(self.softcap)
        rows, first = stop - start, self.offset + start - oldest
        scores[..., first:].add_(self.after[:rows, : newest - oldest - first])
        if self.window is not None:
            cut = oldest - (self.offset + start - self.window + 1)
            edge = self.before[:rows, cut : cut + newest - oldest]
            scores[..., : edge.shape[1]].add_(edge)
        if self.mask is not None:
            scores.add_(self.mask[groups, :, start:stop, oldest:newest])
        return scores

    def _softmax_entropy(self, scores: Tensor, groups: slice) -> tuple[Tensor, Tensor]:
        """Return weights and row entropies, from scores it overwrites.

        With x the scores less the row's highest and Z = sum exp x, the highest weight is 1 / Z, so
        ln Z costs no exponential, and the entropy is ln Z - sum A x. A learned sink of logit s
        makes the denominator Z + exp s and takes its share from every weight.
        """
        highest = scores.amax(-1, keepdim=True)
        scores.sub_(highest)
        weights = torch.softmax(scores, -1)
        log_sum = -weights.amax(-1, keepdim=True).log()
        if self.sinks is not None:
            total = torch.logaddexp(log_sum, self.sinks[groups] - highest)
            left = torch.exp(log_sum - total)
            weights.mul_(left)
            log_sum = left * total
        if not self.want.entropy:
            return weights, log_sum
        entropy = log_sum - scores.mul_(weights).sum(-1, keepdim=True)
        return weights, entropy[..., 0]

    def _distances(self, weights: Tensor, start: int, oldest: int) -> Tensor:
        """Mean distances, measured from the block's first query: small numbers, no cancellation."""
        keys = torch.arange(weights.shape[3], device=weights.device, dtype=torch.float32)
        back = torch.mv(weights.flatten(0, 2), (self.offset + start - oldest) - keys)
        row = torch.arange(weights.shape[2], device=weights.device)
        total = 1.0 if self.sinks is None else weights.sum(-1)
        return back.view(weights.shape[:3]) + row * total

    def _diagonal(
        self, n: int, back: int, weights: Tensor, groups: slice, start: int, oldest: int
    ) -> None:
        """Keep each query's weight on the key ``back`` before it."""
        assert self.diagonals is not None
        first = self.offset + start - oldest - back
        missing = min(max(0, -first), weights.shape[2])  # rows whose key is not in the panel
        if oldest > 0:
            self.diagonals[groups, :, n, start : start + missing] = 0.0
        found = weights[:, :, missing:, first + missing :].diagonal(dim1=2, dim2=3)
        rows = slice(start + missing, start + missing + found.shape[-1])
        self.diagonals[groups, :, n, rows] = found

    def stats(self) -> AttentionStats:
        """Return what was wanted, heads in one axis."""
        mean, highest = self.tiles.pooled() if self.tiles is not None else (None, None)
        decayed = last = segments = None
        if self.summed is not None:
            counts = [len(self.want.decay), int(self.want.last > 0), self.want.segments]
            decayed, last, segments = self.summed.sum(0).flatten(0, 1).split(counts, dim=1)
        return AttentionStats(
            received=None if self.received is None else self.received.sum(0).flatten(0, 1),
            entropy=_heads(self.entropy),
            distance=_heads(self.distance),
            columns=_heads(self.columns),
            diagonals=_heads(self.diagonals),
            decayed=decayed if self.want.decay else None,
            last=last.squeeze(1) if last is not None and self.want.last else None,
            segments=segments if self.want.segments else None,
            tiles_mean=mean,
            tiles_max=highest,
        )


def _query_factors(want: Want, queries: int, device: torch.device) -> Tensor:
    """Return [n, T]: what each query's weights count in each wanted sum over queries."""
    query = torch.arange(queries, device=device)
    rows = [factor ** (queries - 1 - query).float() for factor in want.decay]
    if want.last:
        rows.append((query >= queries - want.last).float())
    run = query * want.segments // queries
    rows += [(run == segment).float() for segment in range(want.segments)]
    return torch.stack(rows) if rows else torch.zeros(0, queries, device=device)


def _heads(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.flatten(0, 1)
