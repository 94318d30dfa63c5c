"""The compiled kernels against PyTorch on this processor: are they equal, and which is faster?"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path

import torch
from torch import Tensor

from tokenarium.kernels.attention_stats import reference
from tokenarium.kernels.attention_stats.declaration import AttentionStats, Axis, Grid, Want
from tokenarium.kernels.attention_stats.inputs import AttentionInput
from tokenarium.kernels.attention_stats.native import layer
from tokenarium.kernels.attention_stats.native.library import Library
from tokenarium.kernels.vocab_stats import prob_reference
from tokenarium.kernels.vocab_stats.declaration import ProbStats, VocabStats
from tokenarium.kernels.vocab_stats.native import probs as native_probs
from tokenarium.kernels.vocab_stats.native import rows
from tokenarium.kernels.vocab_stats.reference import vocab_stats as reference_rows

ROUNDS = 5


def _drawn(heads: int, groups: int, length: int, size: int, values: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = (heads, length, size), (groups, length, size), (groups, length, values)
    return [torch.randn(shape, generator=draw) for shape in shapes]


def difference(library: Library) -> float:
    """Return the largest difference between the two, relative above 1; NaN if one has NaN alone."""
    q, k, v = _drawn(6, 2, 150, 24, 20)
    sinks = torch.linspace(-2, 3, 6)
    want = Want(
        received=True,
        entropy=True,
        distance=True,
        columns=(0, 70),
        diagonals=(0, 65),
        decay=(0.9, 1.0),
        last=3,
        segments=4,
        tiles=Grid(Axis(20, 150, 9), Axis(3, 149, 7)),
    )
    cases = (
        AttentionInput(q, k, v, scaling=0.3),
        AttentionInput(q[:, 20:], k, v, scaling=0.3, window=40, softcap=3.0, sinks=sinks),
    )
    off = [
        _apart(reference.attention_stats(case, want), layer.attention_stats(library, case, want))
        for case in cases
    ]
    off += [_rows_apart(library, dtype) for dtype in rows.TAKEN]
    off += [_probs_apart(library), _chosen_apart(library)]
    return max(off, key=lambda value: (value != value, value))


def _rows_apart(library: Library, dtype: torch.dtype) -> float:
    """Compare what is said of rows of logits: with equals among them, and with tokens forbidden."""
    logits, others = (torch.randn(2, 5, 333, generator=torch.Generator().manual_seed(1)) * 4).to(
        dtype
    )
    logits[:, 40:44] = logits[:, 200:201]
    logits[2, 7:90] = float("-inf")
    targets = torch.tensor([0, 42, 8, 201, 332])
    before = reference_rows(others, None, 0, False, None, keep_probs=True)
    asked = logits, targets, 9, True, before
    one = reference_rows(*asked, keep_probs=True)
    other = rows.vocab_stats(library, *asked, keep_probs=True)
    names = [field.name for field in dataclasses.fields(VocabStats)]
    return _pairs_apart((getattr(one, name), getattr(other, name)) for name in names)


def _probs_apart(library: Library) -> float:
    """Compare what is said of rows of probabilities, some of them 0, some equal."""
    probs, others = (
        torch.randn(2, 4, 333, generator=torch.Generator().manual_seed(2)) * 4
    ).softmax(-1)
    probs[:, 40:44] = probs[:, 200:201]
    probs[1, 7:90] = others[1, 5:90] = 0
    probs[2, 100:] = 0
    one = prob_reference.prob_stats(probs, 9, others)
    other = native_probs.prob_stats(library, probs, 9, others)
    names = [field.name for field in dataclasses.fields(ProbStats) if field.name != "top_ids"]
    pairs = [(getattr(one, name), getattr(other, name)) for name in names]
    named = probs.gather(-1, other.top_ids), one.top_probs
    tokens = torch.tensor([42, 300, 200, 332])
    near = (prob_reference.nearest_tokens(probs, tokens, 7),
            native_probs.nearest_tokens(library, probs, tokens, 7))  # fmt: skip
    uniform = torch.linspace(0, 0.99, 4, dtype=torch.double)
    draws = prob_reference.draw(probs, uniform), native_probs.draw(library, probs, uniform)
    left = (prob_reference.left_over(probs, others),
            native_probs.left_over(library, probs, others))  # fmt: skip
    return _pairs_apart([*pairs, named, near, draws, left])


def _chosen_apart(library: Library) -> float:
    """Compare products with chosen rows and sums of them, and products with all."""
    from tokenarium.kernels.gather_attention.native import chosen  # which imports this package

    draw = torch.Generator().manual_seed(3)
    rows_, q = torch.randn(50, 83, generator=draw), torch.randn(2, 7, 83, generator=draw)
    at = torch.stack([torch.randperm(50, generator=draw)[:21] for _ in range(2)])
    weights = torch.rand(2, 7, 21, generator=draw)
    pairs = (
        (q @ rows_[at].mT, chosen.products(library, q, rows_, at)),
        (q @ rows_.mT, chosen.products(library, q, rows_.expand(2, -1, -1), None)),
        (weights @ rows_[at], chosen.sums(library, weights, rows_, at)),
    )
    return _pairs_apart(pairs)


Found = tuple[Tensor, AttentionStats]


def _apart(one: Found, other: Found) -> float:
    names = [field.name for field in dataclasses.fields(AttentionStats)]
    pairs = [(getattr(one[1], name), getattr(other[1], name)) for name in names]
    return _pairs_apart([*pairs, (one[0], other[0])])


def _pairs_apart(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    off = 0.0
    for ours, theirs in pairs:
        if not torch.equal(ours.isnan(), theirs.isnan()) or not torch.equal(
            ours == inf, theirs == inf
        ):
            return float("nan")
        ours, theirs = ours.nan_to_num(posinf=0), theirs.nan_to_num(posinf=0)
        off = max(off, float(((ours - theirs).abs() / (1 + theirs.abs())).max()))
    return off


def native_share(library: Library, memo: Path) -> float:
    """Return the kernel's share of the panels' time, tried once and remembered in a file.

    Both do the same in turn, and the best of each counts: what else the machine does meanwhile
    only adds. Remembered, the choice is the same in every process.
    """
    try:
        return float(json.loads(memo.read_text())["share"])
    except (OSError, ValueError, KeyError, TypeError):
        share = _tried(library)
    try:
        with tempfile.NamedTemporaryFile("w", dir=memo.parent, delete=False) as file:
            json.dump({"share": share}, file)
        Path(file.name).replace(memo)
    except OSError:
        pass  # a full or read-only disk: the next process tries again
    return share


def _tried(library: Library) -> float:
    q, k, v = _drawn(9, 3, 512, 64, 64)
    attention = AttentionInput(q, k, v, scaling=0.125)
    want = Want(received=True, entropy=True, distance=True, segments=8, tiles=Grid.square(512, 64))
    paths: tuple[Callable[[], object], ...] = (
        lambda: layer.attention_stats(library, attention, want),
        lambda: reference.attention_stats(attention, want),
    )
    best = [float("inf")] * 2
    for _ in range(ROUNDS + 1):  # the first is for caches and threads, and never the best
        for n, path in enumerate(paths):
            start = time.perf_counter()
            path()
            best[n] = min(best[n], time.perf_counter() - start)
    return best[0] / best[1]
