"""Sums over queries: one program per block of keys and head walks down the queries that see it.

The saved row sums turn logits into final weights at once; every weight is computed once more, and
no program adds to another's numbers, so that results do not depend on an order. The queries come in
pieces that no edge of a tile or of a run cuts (``walk``): what a piece adds to each key is one sum
and one maximum, whatever is wanted of it, and the loop has no loop inside, so that queries are
loaded ahead. Blocks of keys know nothing of tiles: a program writes its share of each tile, and
``pooling`` adds the shares up.
"""

import triton
import triton.language as tl

from tokenarium.kernels.attention_stats.triton.weights import biased, hidden, product, scaled


@triton.jit(
    do_not_specialize=(
        *("mask_head", "queries", "keys", "offset", "window", "per_group", "segments", "last_from"),
        *("first_key", "row_tiles", "column_start", "column_stop", "column_tiles"),
    )
)
def sums(
    q, k, mask, log_sum, pieces, spans, factors, received, decayed, last, runs,
    tile_sums, tile_peaks,
    q_head, q_row, k_head, k_row, mask_head,
    queries, keys, offset, window, per_group, factor, cap, segments, last_from, ordered,
    first_key, row_tiles, column_start, column_stop, column_tiles,
    size: tl.constexpr, padded: tl.constexpr,
    factor_count: tl.constexpr, padded_factors: tl.constexpr, split: tl.constexpr,
    tiles_a_block: tl.constexpr,
    block_queries: tl.constexpr, block_keys: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Write weighted sums, sums of runs of queries, and the block's share of every tile."""
    head = tl.program_id(1).to(tl.int64)
    start = first_key + tl.program_id(0) * block_keys
    key = start + tl.arange(0, block_keys)
    lane = tl.arange(0, padded)[None, :]
    q += head * q_head
    log_sum += head * ordered
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
    forgotten = tl.zeros([block_keys, padded_factors], tl.float32)
    total = tl.zeros([block_keys], tl.float32)
    closing, run, tile, peak = total, total, total, total
    spans += 3 * tl.program_id(0)
    # Pieces from ``whole`` on see every key of the block, unless a window hides them.
    begin, whole, end = tl.load(spans), tl.load(spans + 1), tl.load(spans + 2)
    for inner in tl.static_range(2):
        low, high = begin, whole
        if inner:
            low, high = whole, end
        for n in range(low, high):
            first = tl.load(pieces + 4 * n)
            weights = _weights(
                block, q, key, mask, log_sum, n, first, q_row, queries, keys, offset, window,
                factor, cap, size, padded, block_queries, inner == 0, upcast,
            )  # fmt: skip
            added = tl.sum(weights, 1)
            total += added
            if last is not None:
                closing += tl.where(first >= last_from, added, 0.0)
            if decayed is not None:
                forgotten = _add_weighted(
                    weights, forgotten, factors, n, padded_factors, split, upcast
                )
            if runs is not None:
                run = _add_run(added, run, runs, pieces, n, end, key < keys, keys)
            if tile_sums is not None:
                tile, peak = _add_tiles(
                    weights, added, tile, peak, slot, tile_sums, tile_peaks, pieces, n, end,
                    tiles_a_block,
                )  # fmt: skip
    _write_sums(
        received, last, decayed, total, closing, forgotten, head, key, keys, factor_count, split
    )


@triton.jit
def _weights(
    block, q, key, mask, log_sum, n, first, q_row, queries, keys, offset, window, factor, cap,
    size: tl.constexpr, padded: tl.constexpr, block_queries: tl.constexpr,
    edge: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Weights [keys, queries] of piece ``n``, from query ``first`` on; 0 in rows past its end."""
    local = tl.arange(0, block_queries)
    row = first + local
    lane = tl.arange(0, padded)[None, :]
    at = q + tl.cast(first, tl.int64) * q_row + local[:, None] * q_row + lane
    found = tl.load(at, mask=(row < queries)[:, None] & (lane < size), other=0.0)
    logits = scaled(product(block, tl.trans(found), upcast), factor, cap)
    if mask is not None:
        inside = (row < queries)[None, :] & (key < keys)[:, None]
        at = mask + row.to(tl.int64)[None, :] * keys + key[:, None]
        logits = biased(logits, tl.load(at, mask=inside, other=0.0))
    if edge or window is not None:
        logits = hidden(logits, offset + row[None, :], key[:, None], keys, window)
    # In the order of pieces, without a mask: what a thread reads lies together.
    row_sum = tl.load(log_sum + n * block_queries + local)
    return tl.exp2(logits - row_sum[None, :])


@triton.jit
def _add_weighted(
    weights, forgotten, factors, n,
    padded_factors: tl.constexpr, split: tl.constexpr, upcast: tl.constexpr,
):  # fmt: skip
    """Add the weights of piece ``n`` times every factor of their rows, as one product of matrices.

    In bfloat16, weights and factors come in two parts each, which carry 16 bits of the number: one
    part alone would lose more than a sum over few queries may.
    """
    row = n * weights.shape[1] + tl.arange(0, weights.shape[1])
    lane = tl.arange(0, padded_factors)[None, :]
    counts = tl.load(factors + row[:, None] * padded_factors + lane)
    if split:
        # The upper part is cut off, not rounded: that takes one instruction.
        upper = (weights.to(tl.int32, bitcast=True) & -65536).to(tl.float32, bitcast=True)
        forgotten += product(upper.to(tl.bfloat16), counts, upcast)
        weights = (weights - upper).to(tl.bfloat16)
    return forgotten + product(weights, counts, upcast)


@triton.jit
def _write_sums(
    received, last, decayed, total, closing, forgotten, head, key, keys,
    factor_count: tl.constexpr, split: tl.constexpr,
):  # fmt: skip
    """Write sums over all queries; where factors are split, their lower parts are upper columns."""
    there = key < keys
    if received is not None:
        tl.store(received + head * keys + key, total, mask=there)
    if last is not None:
        tl.store(last + head * keys + key, closing, mask=there)
    if decayed is not None:
        if split:
            half: tl.constexpr = forgotten.shape[1] // 2
            forgotten = tl.sum(tl.reshape(forgotten, [forgotten.shape[0], 2, half]), 1)
        n = tl.arange(0, forgotten.shape[1])[None, :]
        at = decayed + (head * factor_count + n) * keys + key[:, None]
        tl.store(at, forgotten, mask=there[:, None] & (n < factor_count))


@triton.jit
def _add_run(added, run, runs, pieces, n, end, there, keys):
    """Add piece ``n`` to the open run of queries, and write the run where it ends here."""
    place = tl.load(pieces + 4 * n + 2)
    run += added
    if (place % 2 == 1) | (n + 1 == end):
        tl.store(runs + tl.cast(place // 2, tl.int64) * keys, run, mask=there)
        run = tl.zeros_like(run)
    return run


@triton.jit
def _add_tiles(
    weights, added, tile, peak, slot, tile_sums, tile_peaks, pieces, n, end,
    tiles_a_block: tl.constexpr,
):  # fmt: skip
    """Add piece ``n`` to the open row of tiles, and write the block's shares where it ends here."""
    place = tl.load(pieces + 4 * n + 3)
    inside = place >= 0
    tile += tl.where(inside, added, 0.0)
    peak = tl.maximum(peak, tl.where(inside, tl.max(weights, 1), 0.0))
    if inside & ((place % 2 == 1) | (n + 1 == end)):
        lane = tl.arange(0, tiles_a_block)
        mine = slot[:, None] == lane[None, :]
        at = tl.cast(place // 2, tl.int64) * tl.num_programs(0) * tiles_a_block + lane
        tl.store(tile_sums + at, tl.sum(tl.where(mine, tile[:, None], 0.0), 0))
        tl.store(tile_peaks + at, tl.max(tl.where(mine, peak[:, None], 0.0), 0))
        tile = tl.zeros_like(tile)
        peak = tl.zeros_like(peak)
    return tile, peak


@triton.jit
def _slots(key, start, keys, axis_start, axis_stop, tiles):
    """Place of each key's tile among those the block overlaps; -1 outside the axis."""
    length = axis_stop - axis_start
    before = (tl.maximum(start, axis_start) - axis_start) * tiles // length
    inside = (key >= axis_start) & (key < axis_stop) & (key < keys)
    return tl.where(inside, (key - axis_start) * tiles // length - before, -1)
