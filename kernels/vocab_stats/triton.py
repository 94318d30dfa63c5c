"""Statistics of rows of logits on a GPU in one pass: one program per row; needs Triton to import.

A program keeps, of the tokens read so far, the highest logit m, sum e^(x - m), and the mean and
spread of x under the probabilities; blocks are merged as samples are (Chan, Golub & LeVeque, 1979),
without the cancellation that E[x^2] - E[x]^2 has.
"""

from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from tokenarium.kernels.launch import Launch
from tokenarium.kernels.vocab_stats.declaration import VocabStats
from tokenarium.kernels.vocab_stats.reference import top

LOWEST = tl.constexpr(-1e18)
"""Stands for minus infinity: finite, squared too, since zero times infinity would be NaN."""
NO_CODE = tl.constexpr(-(1 << 63))
KEPT = tl.constexpr((1 << 63) - 1)

BLOCK = 4096
OPTIONS = {"num_warps": 8, "num_stages": 1, "enable_fp_fusion": True}
MOST_IN_ONE_PASS = 64
"""More top tokens than this are found by ``torch.topk``: each costs a search of its block."""

empty = torch.empty
"""Where outputs come from."""


@triton.jit(do_not_specialize=("vocabulary",))
def reduce_rows(
    logits, other, probs, targets,
    log_sums, entropies, varentropies, surprisals, ranks, top_ids, top_probs, divergences,
    row_stride, other_stride, probs_stride, vocabulary,
    top_k: tl.constexpr, padded_k: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Reduce one row; ``other`` are logits and ``probs`` probabilities to diverge from."""
    row = tl.program_id(0).to(tl.int64)
    logits += row * row_stride
    highest, total, mean, spread = -1e18, 0.0, 0.0, 0.0
    peak, mass, surprise, cross = -1e18, 0.0, 0.0, 0.0
    before = 0
    target = 0
    chosen = 0.0
    if targets is not None:
        target = tl.load(targets + row).to(tl.int32)
        chosen = tl.load(logits + target).to(tl.float32)
    n = tl.arange(0, padded_k)
    best = tl.where(n < top_k, NO_CODE + n.to(tl.int64), KEPT)
    for start in range(0, vocabulary, block):
        token = start + tl.arange(0, block)
        inside = token < vocabulary
        raw = tl.load(logits + token, mask=inside, other=float("-inf")).to(tl.float32)
        if targets is not None:
            earlier = (raw > chosen) | ((raw == chosen) & (token < target))
            before += tl.sum((earlier & inside).to(tl.int32), 0)
        if top_ids is not None:
            best = _keep_best(_codes(raw, token, inside), best, top_k)
        last, x = highest, tl.maximum(raw, LOWEST)
        highest, total, mean, spread = _merge(x, inside, highest, total, mean, spread)
        if other is not None:
            at = other + row * other_stride + token
            theirs = tl.load(at, mask=inside, other=float("-inf")).to(tl.float32)
            y = tl.maximum(theirs, LOWEST)
            new = tl.maximum(peak, tl.max(y, 0))
            weight = tl.where(inside, tl.exp(y - new), 0.0)
            keep = tl.exp(peak - new) * mass
            mass = keep + tl.sum(weight, 0)
            surprise = keep * (surprise + (peak - new)) + tl.sum(weight * (y - new), 0)
            cross = keep * (cross + (last - highest)) + tl.sum(weight * (x - highest), 0)
            surprise, cross, peak = surprise / mass, cross / mass, new
        if probs is not None:
            weight = tl.load(probs + row * probs_stride + token, mask=inside, other=0.0)
            positive = tl.where(weight > 0, tl.log(tl.maximum(weight, 1e-37)), 0.0)
            surprise += tl.sum(weight * positive, 0)
            cross += mass * (last - highest) + tl.sum(weight * (x - highest), 0)
            mass += tl.sum(weight, 0)
    log_total = tl.log(total)
    tl.store(log_sums + row, highest + log_total)
    tl.store(entropies + row, log_total - mean)
    if varentropies is not None:
        tl.store(varentropies + row, spread / total)
    if targets is not None:
        tl.store(surprisals + row, log_total + (highest - chosen))
        tl.store(ranks + row, tl.cast(before, tl.int64))
    if other is not None:
        tl.store(divergences + row, tl.maximum(surprise - tl.log(mass) - cross + log_total, 0.0))
    if probs is not None:
        tl.store(divergences + row, tl.maximum(surprise - cross + log_total, 0.0))
    if top_ids is not None:
        # Codes are all different, so each one's place is the number of greater ones.
        greater = (best[None, :] > best[:, None]) & (n < top_k)[None, :]
        at = row * top_k + tl.sum(greater.to(tl.int32), 1)
        token, value = _decoded(best)
        tl.store(top_ids + at, token, mask=n < top_k)
        tl.store(top_probs + at, tl.exp(value - highest - log_total), mask=n < top_k)


@triton.jit
def _merge(x, inside, highest, total, mean, spread):
    """Add a block's logits to the running sum, mean and spread, all measured from the highest."""
    new = tl.maximum(highest, tl.max(x, 0))
    weight = tl.where(inside, tl.exp(x - new), 0.0)
    added = tl.sum(weight, 0)
    centre = tl.sum(weight * (x - new), 0) / tl.maximum(added, 1e-30)
    off = x - new - centre
    keep = total * tl.exp(highest - new)
    spread = spread * tl.exp(highest - new) + tl.sum(weight * off * off, 0)
    mean += highest - new
    total = keep + added
    apart = mean - centre
    spread += apart * apart * (keep / total) * added
    return new, total, (keep * mean + added * centre) / total, spread


@triton.jit
def _codes(x, token, inside):
    """Integers that order as the logits do, and equals by falling id."""
    bits = tl.where(x == 0, 0.0, x).to(tl.int32, bitcast=True)  # -0.0 equals 0.0
    bits ^= (bits >> 31) & 0x7FFFFFFF  # negative floats count down: turn them round
    code = (bits.to(tl.int64) << 32) + (0x7FFFFFFF - token)
    return tl.where(inside, code, NO_CODE)


@triton.jit
def _decoded(code):
    """Return the token and the logit of each code."""
    bits = (code >> 32).to(tl.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    return 0x7FFFFFFF - (code & 0x7FFFFFFF), bits.to(tl.float32, bitcast=True)


@triton.jit
def _keep_best(codes, best, top_k: tl.constexpr):
    """Put a block's codes in the place of lower ones; later blocks rarely have any."""
    better = tl.sum((codes > tl.min(best, 0)).to(tl.int32), 0)
    for _ in range(tl.minimum(better, top_k)):
        code, lowest = tl.max(codes, 0), tl.min(best, 0)
        best = tl.where((best == lowest) & (code > lowest), code, best)
        codes = tl.where(codes == code, NO_CODE, codes)
    return best


def launch(
    logits: Tensor,
    targets: Tensor | None,
    top_k: int,
    varentropy: bool,
    other: VocabStats | None,
    other_logits: Tensor | None,
) -> Launch:
    """Prepare the pass over the rows, and room for what it writes."""
    rows, vocabulary = logits.shape
    probs = None if other is None else other.probs

    def new(wanted: bool, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor | None:
        return empty((rows, *shape), dtype=dtype, device=logits.device) if wanted else None

    arguments = {
        "logits": logits,
        "other": other_logits,
        "probs": probs,
        "targets": targets,
        "log_sums": new(True),
        "entropies": new(True),
        "varentropies": new(varentropy),
        "surprisals": new(targets is not None),
        "ranks": new(targets is not None, dtype=torch.int64),
        "top_ids": new(top_k > 0, top_k, dtype=torch.int64),
        "top_probs": new(top_k > 0, top_k),
        "divergences": new(other is not None or other_logits is not None),
        "row_stride": logits.stride(0),
        "other_stride": 0 if other_logits is None else other_logits.stride(0),
        "probs_stride": 0 if probs is None else probs.stride(0),
        "vocabulary": vocabulary,
        "top_k": top_k,
        "padded_k": max(2, triton.next_power_of_2(top_k)),
        "block": BLOCK,
    }
    return Launch(reduce_rows, (rows,), arguments, OPTIONS)


@torch.no_grad()
def vocab_stats(
    logits: Tensor,
    targets: Tensor | None,
    top_k: int,
    varentropy: bool,
    other: VocabStats | None,
    other_logits: Tensor | None,
    keep_probs: bool,
) -> VocabStats:
    """Compute what ``tokenarium.kernels.vocab_stats`` documents, on a CUDA device."""
    logits = logits if logits.stride(1) == 1 else logits.contiguous()
    if other_logits is not None and other_logits.stride(1) != 1:
        other_logits = other_logits.contiguous()
    here = top_k if top_k <= MOST_IN_ONE_PASS else 0
    prepared = launch(logits, targets, here, varentropy, other, other_logits)
    with torch.cuda.device(logits.device) if logits.is_cuda else nullcontext():
        prepared.run()
    found = prepared.arguments
    log_sums: Tensor = found["log_sums"]
    top_ids, top_probs = found["top_ids"], found["top_probs"]
    if top_k > here:
        top_ids = top(logits.float(), top_k)
        top_probs = (logits.gather(1, top_ids).float() - log_sums[:, None]).exp_()
    return VocabStats(
        logsumexp=log_sums,
        entropy=found["entropies"],
        varentropy=found["varentropies"],
        surprisal=found["surprisals"],
        rank=found["ranks"],
        top_ids=top_ids,
        top_probs=top_probs,
        kl=found["divergences"],
        probs=(logits.float() - log_sums[:, None]).exp_() if keep_probs else None,
    )
