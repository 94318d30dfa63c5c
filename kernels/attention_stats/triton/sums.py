"""Sums over queries: one program per block of keys and head walks down the queries that see it.

The saved row sums turn logits into final weights at once; every weight is computed once more, and
no program adds to another's numbers, so that results do not depend on an order. Blocks of keys know
nothing of tiles: a program writes its share of each tile, and ``pooling`` adds the shares up.
"""

import triton
import triton.language as tl

from tokenarium.kernels.attention_stats.triton.weights import biased, hidden, product, scaled


@triton.jit(
    do_not_specialize=(
        *("mask_head", "queries", "keys", "offset", "window", "per_group", "segments"),
        *("first_key", "rows_from", "rows_to", "row_start", "row_stop", "row_tiles"),
        *("column_start", "column_stop", "column_tiles"),
    )
)
def sums(
    q, k, mask, log_sum, factors, weighted, runs, tile_sums, tile_peaks,
    q_head, q_row, k_head, k_row, mask_head,
    queries, keys, offset, window, per_group, factor, cap, segments,
    first_key, rows_from, rows_to,
    row_start, row_stop, row_tiles, column_start, column_stop, column_tiles,
    size: tl.constexpr, padded: tl.constexpr,
    factor_count: tl.constexpr, padded_factors: tl.constexpr, tiles_a_block: tl.constexpr,
    block_queries: tl.constexpr, block_keys: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Write weighted sums, sums of runs of queries, and the block's share of every tile."""
    head = tl.program_id(1).to(tl.int64)
    start = first_key + tl.program_id(0) * block_keys
    key = start + tl.arange(0, block_keys)
    lane = tl.arange(0, padded)[None, :]
    q += head * q_head
    log_sum += head * queries
    at = k + head // per_group * k_head + key.to(tl.int64)[:, None] * k_row + lane
    block = tl.load(at, mask=(key < keys)[:, None] & (lane < size), other=0.0)
    if mask is not None:
        mask += head * mask_head
    if runs is not None:
        runs += head * segments * keys + key
    slot = key * 0
    if tile_sums is not None:
        slot = _slots(key, start, keys, column_start, column_stop, column_tiles)
        share = (head * row_tiles * tl.num_programs(0) + tl.program_id(0)) * tiles_a_block
        tile_sums += share
        tile_peaks += share
    totals = tl.zeros([block_keys, padded_factors], tl.float32)
    run = tl.zeros([block_keys], tl.float32)
    tile, peak = run, run
    oldest = tl.maximum(rows_from, start - offset)
    newest = rows_to
    if window is not None:
        newest = tl.minimum(rows_to, start + block_keys - 1 + window - offset)
    # Rows from ``whole`` on see every key of the block, unless a window hides them.
    edges = tl.cdiv(tl.maximum(start + block_keys - 1 - offset - oldest, 0), block_queries)
    whole = oldest + edges * block_queries
    for inner in tl.static_range(2):
        begin, end = oldest, tl.minimum(whole, newest)
        if inner:
            begin, end = whole, newest
        found = _rows(q, begin, q_row, queries, size, padded, block_queries)
        for first in range(begin, end, block_queries):
            # The compiler loads ahead only in loops without loops inside; this one has some.
            following = _rows(q, first + block_queries, q_row, queries, size, padded, block_queries)
            weights = _weights(
                block, found, key, mask, log_sum, first, queries, keys, offset, window,
                factor, cap, inner == 0, upcast,
            )  # fmt: skip
            found = following
            if weighted is not None:
                totals = _add_weighted(weights, totals, factors, first, queries, factor_count)
            last = first + block_queries >= newest
            if runs is not None:
                run = _add_runs(
                    weights, run, runs, key < keys, first, last, queries, keys, segments
                )
            if tile_sums is not None:
                tile, peak = _add_tiles(
                    weights, tile, peak, slot, tile_sums, tile_peaks, first, last,
                    row_start, row_stop, row_tiles, tiles_a_block,
                )  # fmt: skip
    if weighted is not None:
        n = tl.arange(0, padded_factors)[None, :]
        at = weighted + (head * factor_count + n) * keys + key[:, None]
        tl.store(at, totals, mask=(key < keys)[:, None] & (n < factor_count))


@triton.jit
def _rows(
    q, first, q_row, queries,
    size: tl.constexpr, padded: tl.constexpr, block_queries: tl.constexpr,
):  # fmt: skip
    """Load the queries from ``first``, zeros past the last one."""
    local = tl.arange(0, block_queries)
    lane = tl.arange(0, padded)[None, :]
    at = q + tl.cast(first, tl.int64) * q_row + local[:, None] * q_row + lane
    return tl.load(at, mask=(first + local < queries)[:, None] & (lane < size), other=0.0)


@triton.jit
def _weights(
    block, found, key, mask, log_sum, first, queries, keys, offset, window, factor, cap,
    edge: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Weights [keys, queries] of the queries from ``first``; 0 in rows past the last query."""
    row = first + tl.arange(0, found.shape[0])
    logits = scaled(product(block, tl.trans(found), upcast), factor, cap)
    if mask is not None:
        inside = (row < queries)[None, :] & (key < keys)[:, None]
        at = mask + row.to(tl.int64)[None, :] * keys + key[:, None]
        logits = biased(logits, tl.load(at, mask=inside, other=0.0))
    if edge or window is not None:
        logits = hidden(logits, offset + row[None, :], key[:, None], keys, window)
    row_sum = tl.load(log_sum + row, mask=row < queries, other=float("inf"))
    return tl.exp2(logits - row_sum[None, :])


@triton.jit
def _add_weighted(weights, totals, factors, first, queries, factor_count: tl.constexpr):
    """Add each row times its factor in each wanted sum."""
    row = first + tl.arange(0, weights.shape[1])
    lane = tl.arange(0, totals.shape[1])[None, :]
    for n in tl.static_range(factor_count):
        counts = tl.load(factors + n * queries + row, mask=row < queries, other=0.0)
        part = tl.sum(weights * counts[None, :], 1)
        totals = tl.where(lane == n, totals + part[:, None], totals)
    return totals


@triton.jit
def _add_runs(weights, run, runs, there, first, last, queries, keys, segments):
    """Add rows to the open run of queries, and write every run that ends here."""
    stop = first + weights.shape[1]
    row = first + tl.arange(0, weights.shape[1])
    begin, end = _overlapped(first, stop, 0, queries, segments)
    for n in range(begin, end):
        lower, upper = _edges(n, 0, queries, segments)
        inside = (row >= lower) & (row < upper)
        run += tl.sum(tl.where(inside[None, :], weights, 0.0), 1)
        if last | (upper <= stop):
            tl.store(runs + tl.cast(n, tl.int64) * keys, run, mask=there)
            run = tl.zeros_like(run)
    return run


@triton.jit
def _add_tiles(
    weights, tile, peak, slot, tile_sums, tile_peaks, first, last,
    row_start, row_stop, row_tiles, tiles_a_block: tl.constexpr,
):  # fmt: skip
    """Add rows to the open row of tiles, and write the block's share of every one that ends."""
    stop = first + weights.shape[1]
    row = first + tl.arange(0, weights.shape[1])
    lane = tl.arange(0, tiles_a_block)
    mine = slot[:, None] == lane[None, :]
    begin, end = _overlapped(first, stop, row_start, row_stop, row_tiles)
    for n in range(begin, end):
        lower, upper = _edges(n, row_start, row_stop, row_tiles)
        inside = (row >= lower) & (row < upper)
        part = tl.where(inside[None, :], weights, 0.0)
        tile += tl.sum(part, 1)
        peak = tl.maximum(peak, tl.max(part, 1))
        if last | (upper <= stop):
            at = tl.cast(n, tl.int64) * tl.num_programs(0) * tiles_a_block + lane
            tl.store(tile_sums + at, tl.sum(tl.where(mine, tile[:, None], 0.0), 0))
            tl.store(tile_peaks + at, tl.max(tl.where(mine, peak[:, None], 0.0), 0))
            tile = tl.zeros_like(tile)
            peak = tl.zeros_like(peak)
    return tile, peak


@triton.jit
def _overlapped(first, stop, axis_start, axis_stop, tiles):
    """Tiles [begin, end) that share a row with [first, stop)."""
    low = tl.maximum(first, axis_start)
    high = tl.minimum(stop, axis_stop)
    length = axis_stop - axis_start
    begin = (low - axis_start) * tiles // length
    end = (high - 1 - axis_start) * tiles // length + 1
    return begin, tl.where(low < high, end, begin)


@triton.jit
def _edges(n, axis_start, axis_stop, tiles):
    """Rows [lower, upper) of tile ``n``, as ``Axis.edges`` has them."""
    length = axis_stop - axis_start
    lower = axis_start + (n * length + tiles - 1) // tiles
    return lower, axis_start + ((n + 1) * length + tiles - 1) // tiles


@triton.jit
def _slots(key, start, keys, axis_start, axis_stop, tiles):
    """Place of each key's tile among those the block overlaps; -1 outside the axis."""
    length = axis_stop - axis_start
    before = (tl.maximum(start, axis_start) - axis_start) * tiles // length
    inside = (key >= axis_start) & (key < axis_stop) & (key < keys)
    return tl.where(inside, (key - axis_start) * tiles // length - before, -1)
