"""Attention within a model's window over entries of which a policy has dropped some."""

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.observe import AttentionCall
from tokenarium.kernels.decode_attention import decode_attention


def attend_within(
    call: AttentionCall, entries: Entries, positions: Tensor, window: int, want_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """Attend over the entries whose positions lie within each query's window.

    Where entries are missing, the last so many of them are not the last so many positions. One
    query after another is read, each over a part of every head.

    Args:
        call: of the layer; its n queries belong to the n newest entries.
        entries: of the layer, those of the queries included.
        positions: [n] of the queries.
        window: most positions a query sees, its own included.
        want_weights: whether to return the weights too.
    Returns: as ``decode_attention``: the output [n, H, Dv] and the weights [H, n, S] or None.
    """
    queries, heads = call.q.shape[2], call.q.shape[1]
    places = [entries.head("positions", g) for g in range(entries.groups)]
    weights = call.q.new_zeros(heads, queries, max(entries.counts), dtype=torch.float32)
    rows = []
    for row, position in enumerate(positions.tolist()):
        hidden = [int((own <= position - window).sum()) for own in places]
        later = queries - 1 - row
        counts = [n - gone - later for n, gone in zip(entries.counts, hidden, strict=True)]
        out, own = decode_attention(
            call.q[0][:, row : row + 1],
            entries.buffers["keys"],
            entries.buffers["values"],
            [start + gone for start, gone in zip(entries.starts, hidden, strict=True)],
            counts,
            scaling=call.scaling,
            softcap=call.softcap,
            sinks=call.sinks,
            want_weights=want_weights,
        )
        rows.append(out)
        if own is None:
            continue
        grouped = own.view(entries.groups, -1, own.shape[2])
        for g, (gone, count) in enumerate(zip(hidden, counts, strict=True)):
            into = weights.view(entries.groups, -1, *weights.shape[1:])[g, :, row]
            into[:, gone : gone + count] = grouped[g, :, :count]
    return torch.cat(rows), weights if want_weights else None
