"""Causal grouped-query attention with statistics, from panels of whole rows in PyTorch.

A panel is a block of queries of one key-value group, all heads of the group as rows, against every
key those queries can see. One softmax over the panel gives the weights; the output and every
statistic are read from it while it is in cache, and the panel is dropped. Work above the diagonal
and outside the window is skipped, so memory is that of a few panels: O(T).
"""

import math
from functools import partial
from threading import local

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import plan, workers
from tokenarium.kernels.attention_stats.declaration import AttentionStats, Want
from tokenarium.kernels.attention_stats.inputs import AttentionInput
from tokenarium.kernels.attention_stats.product import fastest
from tokenarium.kernels.attention_stats.sums import JobSums, QuerySums

BITS = 1 / math.log(2)  # logits in bits: 2^x is computed several times faster than e^x
HIDDEN = -1e30  # finite: a weight of zero times minus infinity would be NaN in the entropy
PANEL_WEIGHTS = 1 << 20
FEWEST, MOST = 96, 128
"""Rows of a panel: at least so many for the products, queries at most so many for the diagonal."""
SMALL = 1 << 19
"""Below this many weights one worker is enough."""

_kept = local()


@torch.inference_mode()
def attention_stats(attention: AttentionInput, want: Want) -> tuple[Tensor, AttentionStats]:
    """Compute attention as ``tokenarium.kernels.attention_stats`` documents it, on any device."""
    panels = _Panels(attention, want)
    panels.run()
    return panels.out.flatten(1, 2), panels.stats()


class _Panels:
    """The inputs of one attention layer, and what is found row by row."""

    def __init__(self, attention: AttentionInput, want: Want) -> None:
        q, k, v = attention.q, attention.k, attention.v
        softcap, sinks, mask = attention.softcap, attention.sinks, attention.mask
        heads, self.queries, self.keys = q.shape[0], attention.query_count, attention.key_count
        self.groups = k.shape[0]
        self.per_group = heads // self.groups
        split = (self.groups, self.per_group)
        self.q = q.unflatten(0, split)
        scaling = attention.scaling
        self.scaling = 2 * BITS * scaling / softcap if softcap else BITS * scaling
        # Models hand over views with heads and tokens swapped, on which oneDNN is slow.
        self.k, self.v = k.float().contiguous(), v.float().contiguous()
        self.want, self.window, self.softcap = want, attention.window, softcap
        self.offset = attention.first
        self.sinks = None if sinks is None else (sinks.float() - (softcap or 0)).view(*split, 1, 1)
        self.mask = None if mask is None else mask.expand(heads, -1, -1).unflatten(0, split)
        new = partial(torch.full, fill_value=float("nan"), device=q.device)
        self.out = torch.empty(self.queries, *split, v.shape[2], dtype=q.dtype, device=q.device)
        self.entropy = new((*split, self.queries)) if want.entropy else None
        self.distance = new((*split, self.queries)) if want.distance else None
        self.columns = new((*split, len(want.columns), self.queries))
        self.diagonals = new((*split, len(want.diagonals), self.queries))
        self.sums = QuerySums(want, split, self.queries, self.keys, self.offset, q.device)
        blocks = plan.blocks(self.sums.cuts, self._most_rows)
        self.jobs = plan.jobs(blocks)
        most = max(stop - start for start, stop in blocks)
        self.largest = max(map(self._weights, blocks))
        edge = torch.full((most, most + plan.widest_margin(self.keys)), HIDDEN, device=q.device)
        self.after, self.before = edge.triu(1), edge.tril(-1)
        self.back = torch.arange(self.keys, -self.keys, -1, device=q.device, dtype=torch.float32)

    def _seen(self, start: int, stop: int) -> tuple[int, int]:
        """Return the first key that any of the queries sees, and one after the last of them."""
        oldest = 0 if self.window is None else max(0, self.offset + start - self.window + 1)
        return oldest, min(self.keys, oldest + plan.rounded(self.offset + stop - oldest))

    def _weights(self, block: plan.Block) -> int:
        oldest, newest = self._seen(*block)
        return self.per_group * (block[1] - block[0]) * (newest - oldest)

    def _most_rows(self, stop: int) -> int:
        oldest, newest = self._seen(max(0, stop - MOST), stop)
        fitting = max(PANEL_WEIGHTS // (newest - oldest), FEWEST) // self.per_group
        return min(1 << max(fitting, 1).bit_length() - 1, MOST)  # few shapes, as of widths

    def run(self) -> None:
        """Compute every panel: on a CPU by workers, longest first, elsewhere all groups at once."""
        if self.q.device.type != "cpu":
            for order in range(len(self.jobs)):
                self._job(order, slice(0, self.groups))
            return
        jobs = [
            partial(self._job, order, slice(group, group + 1))
            for order in range(len(self.jobs))
            for group in range(self.groups)
        ]
        small = self.q[..., 0].numel() * self.keys < SMALL
        workers.run(jobs, 1 if small else min(torch.get_num_threads(), len(jobs)))

    @torch.inference_mode()  # a mode of the thread, so each worker enters it
    def _job(self, order: int, groups: slice) -> None:
        blocks = self.jobs[order]
        queries = blocks[0][0], blocks[-1][1]
        seen = [self._seen(*block) for block in blocks]
        keys = seen[0][0], max(newest for _, newest in seen)
        sums = JobSums(self.sums, groups, order, queries, keys)
        for start, stop in reversed(blocks):  # the largest first: their memory fits the others
            self._panel(sums, groups, start, stop)
        self.sums.close(sums)

    def _panel(self, sums: JobSums, groups: slice, start: int, stop: int) -> None:
        """Compute the queries [start, stop) of some groups, weights [n, per_group, rows, keys]."""
        oldest, newest = self._seen(start, stop)
        scores = self._scores(groups, start, stop, oldest, newest)
        weights, entropy = self._softmax(scores, groups)
        if self.entropy is not None:
            assert entropy is not None
            self.entropy[groups, :, start:stop] = entropy
        out = self._product(weights, self.v[groups, oldest:newest].mT)
        self.out[start:stop, groups] = out.permute(2, 0, 1, 3)
        if self.distance is not None:
            self.distance[groups, :, start:stop] = self._distances(weights, start, oldest)
        for n, column in enumerate(self.want.columns):
            found = weights[..., column - oldest] if oldest <= column < newest else 0.0
            self.columns[groups, :, n, start:stop] = found
        for n, back in enumerate(self.want.diagonals):
            self._diagonal(n, back, weights, groups, start, oldest)
        sums.add(weights, start, oldest)

    def _product(self, a: Tensor, b: Tensor) -> Tensor:
        """Return a [n, per_group, rows, d] times the transpose of b [n, m, d]."""
        rows = a.flatten(1, 2)
        on_cpu = a.device.type == "cpu"
        product = fastest()[0](rows[0], b[0])[None] if on_cpu else rows @ b.mT
        return product.view(*a.shape[:3], b.shape[1])

    def _scores(self, groups: slice, start: int, stop: int, oldest: int, newest: int) -> Tensor:
        """Logits of a panel in bits, hidden where the query may not look."""
        queries = self.q[groups, :, start:stop].float() * self.scaling
        scores = self._product(queries, self.k[groups, oldest:newest])
        if self.softcap is not None:
            # c tanh x = c - 2c / (1 + e^2x); a softmax does not see c, taken off the sinks as well.
            scores.exp2_().add_(1).reciprocal_().mul_(-2 * BITS * self.softcap)
        rows, first = stop - start, self.offset + start - oldest
        scores[..., first:].add_(self.after[:rows, : newest - oldest - first])
        if self.window is not None:
            cut = oldest - (self.offset + start - self.window + 1)
            edge = self.before[:rows, cut : min(cut + newest - oldest, rows)]
            scores[..., : edge.shape[1]].add_(edge)
        if self.mask is not None:
            hidden = self.mask[groups, :, start:stop, oldest:newest].float() * BITS
            scores.add_(hidden.clamp_min_(HIDDEN))
        return scores

    def _softmax(self, scores: Tensor, groups: slice) -> tuple[Tensor, Tensor | None]:
        """Return weights and row entropies, from scores it overwrites.

        With x the scores less the row's highest and Z = sum 2^x, weights are 2^x / Z and the
        entropy is sum A (ln Z - x ln 2). A learned sink joins Z and takes its share from every
        weight.
        """
        highest = scores.amax(-1, keepdim=True)
        sinks = None if self.sinks is None else self.sinks[groups] * BITS
        if sinks is not None:
            highest = torch.maximum(highest, sinks)
        scores.sub_(highest)
        keep = self.want.entropy
        weights = torch.exp2(scores, out=_scratch(scores, self.largest) if keep else scores)
        total = share = weights.sum(-1, keepdim=True)
        if sinks is not None:
            total = share + torch.exp2(sinks - highest)
        weights.mul_(total.reciprocal())
        if not keep:
            return weights, None
        in_bits = scores.mul_(weights).sum(-1, keepdim=True)
        return weights, (total.log() * (share / total) - in_bits / BITS)[..., 0]

    def _distances(self, weights: Tensor, start: int, oldest: int) -> Tensor:
        """Mean distances, measured from the block's middle and moved to each row.

        The sum by which they move is not taken to be 1: its rounding error, times a row's place
        in the block, would exceed that of the distance itself.
        """
        middle = weights.shape[2] // 2
        first = self.keys - (self.offset + start + middle - oldest)
        back = torch.mv(weights.flatten(0, 2), self.back[first : first + weights.shape[3]])
        row = torch.arange(weights.shape[2], device=weights.device) - middle
        return back.view(weights.shape[:3]) + row * weights.sum(-1)

    def _diagonal(
        self, n: int, back: int, weights: Tensor, groups: slice, start: int, oldest: int
    ) -> None:
        """Keep each query's weight on the key ``back`` before it."""
        first = self.offset + start - oldest - back
        missing = min(max(0, -first), weights.shape[2])  # rows whose key is not in the panel
        hidden = slice(max(start, back - self.offset), start + missing)
        self.diagonals[groups, :, n, hidden] = 0.0
        found = weights[:, :, missing:, first + missing :].diagonal(dim1=2, dim2=3)
        rows = slice(start + missing, start + missing + found.shape[-1])
        self.diagonals[groups, :, n, rows] = found

    def stats(self) -> AttentionStats:
        """Return what was wanted, heads in one axis."""
        sums, want = self.sums, self.want
        mean, highest = (None, None) if sums.tiles is None else sums.tiles.pooled()
        return AttentionStats(
            received=_heads(sums.received),
            entropy=_heads(self.entropy),
            distance=_heads(self.distance),
            columns=_heads(self.columns) if want.columns else None,
            diagonals=_heads(self.diagonals) if want.diagonals else None,
            decayed=_heads(sums.decayed),
            last=_heads(sums.last),
            segments=_heads(sums.segments),
            tiles_mean=mean,
            tiles_max=highest,
        )


def _scratch(like: Tensor, largest: int) -> Tensor:
    """Return memory for a tensor, kept by this thread for the next one: fresh pages are slow."""
    if like.device.type != "cpu":
        return torch.empty_like(like)
    if getattr(_kept, "memory", None) is None or _kept.memory.numel() < largest:
        _kept.memory = torch.empty(largest)
    kept: Tensor = _kept.memory[: like.numel()].view(like.shape)
    return kept


def _heads(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.flatten(0, 1)
