"""One attention layer by the compiled kernel: what it is handed, and how its work is cut."""

import ctypes
import math
from functools import partial
from itertools import pairwise
from threading import Lock, local

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import plan, workers
from tokenarium.kernels.attention_stats.declaration import AttentionStats, Want
from tokenarium.kernels.attention_stats.inputs import AttentionInput
from tokenarium.kernels.attention_stats.native.library import Job, Layer, Library
from tokenarium.kernels.attention_stats.native.pieces import pieces

BITS = 1 / math.log(2)
STRIP = 64
"""Keys that the kernel takes at once."""
LANES = 16
"""Floats of its widest vectors; values are padded to a multiple."""
ROWS = range(96, 193)
"""Queries times heads of a block: fewer read the keys too often, more leave the cache."""
KEPT_FLOATS = 1 << 18
"""Weights of a block that stay in a core's second cache."""
SMALL = 1 << 20
"""Below this many weights one worker is enough."""

_kept = local()


def why_not(attention: AttentionInput) -> str | None:
    """Return why the kernel does not take a layer's inputs; None where it does."""
    mask, first = attention.mask, attention.first
    if mask is not None and (mask.dtype != torch.float32 or mask.stride(2) != 1):
        return "its mask is not float32, key by key"
    if first < 0 or first + attention.query_count > attention.key_count:
        return "it has queries that stand at no key"
    return None


@torch.inference_mode()
def attention_stats(
    library: Library, attention: AttentionInput, want: Want
) -> tuple[Tensor, AttentionStats]:
    """Compute attention as ``tokenarium.kernels.attention_stats`` documents it, on a CPU."""
    layer = _Native(library, attention, want)
    layer.run()
    return layer.found.out.to(attention.q.dtype), layer.found.stats()


class _Found:
    """What the kernel fills: heads first, NaN nowhere but where the statistics have it."""

    def __init__(self, attention: AttentionInput, want: Want) -> None:
        heads, queries = attention.q.shape[:2]
        keys = attention.key_count
        self._want = want
        self._pairs = pieces(want, queries, attention.first).pairs
        self.out = torch.empty(queries, heads, attention.v.shape[2])
        self.entropy = torch.empty(heads, queries) if want.entropy else None
        self.distance = torch.empty(heads, queries) if want.distance else None
        self.columns = torch.empty(heads, len(want.columns), queries) if want.columns else None
        backs = len(want.diagonals)
        self.diagonals = torch.empty(heads, backs, queries) if want.diagonals else None
        self.received = torch.zeros(heads, keys) if want.received else None
        self.last = torch.zeros(heads, keys) if want.last else None
        self.segments = torch.zeros(heads, want.segments, keys) if want.segments else None
        self.decayed = torch.zeros(heads, len(want.decay), keys) if want.decay else None
        shape = () if self._pairs is None else (heads, *self._pairs.shape)
        self.tile_sums = torch.zeros(shape) if shape else None
        self.tile_peaks = torch.zeros(shape) if shape else None

    def stats(self) -> AttentionStats:
        """Return what was wanted."""
        mean = highest = None
        if self._pairs is not None:
            assert self.tile_sums is not None
            assert self.tile_peaks is not None
            mean = self.tile_sums / self._pairs
            highest = self.tile_peaks.masked_fill_(self._pairs.isnan(), math.nan)
        return AttentionStats(
            received=self.received,
            entropy=self.entropy,
            distance=self.distance,
            columns=self.columns,
            diagonals=self.diagonals,
            decayed=self.decayed,
            last=self.last,
            segments=self.segments,
            tiles_mean=mean,
            tiles_max=highest,
        )


class _Native:
    """One layer's call: its inputs as the kernel reads them, and its jobs."""

    def __init__(self, library: Library, attention: AttentionInput, want: Want) -> None:
        self.library, self.attention, self.want = library, attention, want
        self.heads, self.queries = attention.q.shape[:2]
        self.groups, self.keys = attention.k.shape[:2]
        self.per_group = self.heads // self.groups
        self.pieces = pieces(want, self.queries, attention.first)
        self.found = _Found(attention, want)
        self._packed = _Packed(attention)
        self._layer = self._described()
        self._lock = Lock()
        self._waiting: dict[tuple[int, int], tuple[Job, Tensor, Tensor]] = {}
        self._next = [0] * self.groups

    def _described(self) -> Layer:
        attention, want, packed = self.attention, self.want, self._packed
        softcap, found, cut = attention.softcap, self.found, self.pieces
        fitting = KEPT_FLOATS // min(self.keys, attention.window or self.keys)
        filled = {name: _address(values) for name, values in vars(found).items() if name[0] != "_"}
        return Layer(
            **packed.described(),
            **filled,
            factors=cut.factors.data_ptr(),
            cuts=cut.cut_at.data_ptr(),
            tile_rows=cut.tile_rows.data_ptr(),
            segment_of=cut.segment_of.data_ptr(),
            key_edges=cut.key_edges.data_ptr(),
            column_keys=cut.columns.data_ptr(),
            diagonal_backs=cut.diagonals.data_ptr(),
            heads=self.heads,
            per_group=self.per_group,
            queries=self.queries,
            keys=self.keys,
            offset=attention.first,
            window=attention.window or 0,
            rows=max(1, min(max(fitting, ROWS.start), ROWS.stop - 1) // self.per_group),
            column_count=len(want.columns),
            diagonal_count=len(want.diagonals),
            factor_count=len(want.decay),
            last_piece=cut.last_piece,
            segment_count=want.segments,
            tile_row_count=0 if want.tiles is None else want.tiles.queries.tiles,
            tile_column_count=0 if want.tiles is None else want.tiles.keys.tiles,
            scaling=attention.scaling * BITS * (2 / softcap if softcap else 1),
            softcap=softcap or 0.0,
            keeps=want != Want(entropy=want.entropy, distance=want.distance),
        )

    def run(self) -> None:
        """Compute every query: by workers, the last ones first, unless there are few."""
        if self.heads * self.queries * self.keys < SMALL:
            for group in range(self.groups):
                self._job(0, group, (0, self.queries))
            return
        edges = [n * self.queries // plan.CHUNKS for n in range(plan.CHUNKS + 1)]
        chunks = [chunk for chunk in pairwise(edges) if chunk[0] < chunk[1]][::-1]
        jobs = [
            partial(self._job, order, group, chunk)
            for order, chunk in enumerate(chunks)
            for group in range(self.groups)
        ]
        workers.run(jobs, min(torch.get_num_threads(), len(jobs)))

    @torch.inference_mode()  # a mode of the thread, so each worker enters it
    def _job(self, order: int, group: int, queries: tuple[int, int]) -> None:
        start, stop = queries
        first, window = self.attention.first, self.attention.window
        oldest = 0 if window is None else max(0, first + start - window + 1)
        width = first + stop - oldest
        piece, beyond = self.pieces.within(start, stop)
        factors = self.pieces.lasting(stop)
        rows, peaks = beyond - piece, beyond - piece if self.want.tiles else 0
        sums = torch.zeros(self.per_group * (rows + peaks + len(factors)) * width)
        chosen = torch.tensor(factors, dtype=torch.int64)
        at = sums.data_ptr()
        job = Job(
            group=group,
            start=start,
            stop=stop,
            oldest=oldest,
            width=width,
            first_piece=piece,
            beyond_piece=beyond,
            factor_count=len(factors),
            factor_rows=chosen.data_ptr(),
            pieces=at,
            peaks=at + self.per_group * rows * width * 4,
            decayed=at + self.per_group * (rows + peaks) * width * 4,
        )
        memory = _memory(self.library.attention_memory(ctypes.byref(self._layer)))
        self.library.attention_job(
            ctypes.byref(self._layer), ctypes.byref(job), ctypes.c_void_p(memory)
        )
        self._close(group, order, job, (sums, chosen))

    def _close(self, group: int, order: int, job: Job, used: tuple[Tensor, Tensor]) -> None:
        """Add a finished job once those before it are added: floats add up in one order only."""
        with self._lock:
            self._waiting[group, order] = job, *used
            while ready := self._waiting.pop((group, self._next[group]), None):
                self.library.attention_add(ctypes.byref(self._layer), ctypes.byref(ready[0]))
                self._next[group] += 1


class _Packed:
    """A layer's inputs in the order in which the kernel reads them."""

    def __init__(self, attention: AttentionInput) -> None:
        q, v, keys = attention.q.float(), attention.v, attention.key_count
        self.q = q if q.stride(2) == 1 else q.contiguous()
        strips = -(-keys // STRIP)
        whole = torch.nn.functional.pad(attention.k.float(), (0, 0, 0, strips * STRIP - keys))
        self.k = whole.unflatten(1, (strips, STRIP)).transpose(2, 3).contiguous()
        width = -(-v.shape[2] // LANES) * LANES
        self.v = torch.nn.functional.pad(v.float(), (0, width - v.shape[2])).contiguous()
        self.value_size = v.shape[2]
        self.sinks, self.mask = attention.sinks, attention.mask
        if self.sinks is not None:
            self.sinks = (self.sinks.float() - (attention.softcap or 0)).mul_(BITS).contiguous()

    def described(self) -> dict[str, int | None]:
        """Return addresses, strides and sizes by the names of ``Layer``."""
        mask = self.mask
        return {
            "q": self.q.data_ptr(),
            "k": self.k.data_ptr(),
            "v": self.v.data_ptr(),
            "sinks": _address(self.sinks),
            "mask": _address(mask),
            "q_head": self.q.stride(0),
            "q_query": self.q.stride(1),
            "k_group": self.k.stride(0),
            "v_group": self.v.stride(0),
            "mask_head": 0 if mask is None or mask.shape[0] == 1 else mask.stride(0),
            "mask_query": 0 if mask is None else mask.stride(1),
            "size": self.q.shape[2],
            "value_size": self.value_size,
            "value_width": self.v.shape[2],
        }


def _memory(size: int) -> int:
    """Return the address of memory kept by this thread for the next layer: new pages are slow."""
    if getattr(_kept, "memory", None) is None or _kept.memory.numel() < size:
        _kept.memory = torch.empty(size, dtype=torch.uint8)
    address: int = _kept.memory.data_ptr()
    return address


def _address(values: Tensor | None) -> int | None:
    return None if values is None else values.data_ptr()
