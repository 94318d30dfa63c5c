"""Each Triton kernel beside its twin in PyTorch and, where there is one, PyTorch's own attention.

Caches are several, read in turn as layers read theirs: one alone would stay in the L2 cache.
"""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import triton
from torch import Tensor

from tests.benchmarks.forward import every_statistic
from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import Shape, dtype, shapes
from tests.benchmarks.timing import Job, Measured
from tokenarium.kernels.attention_stats import AttentionInput, Want
from tokenarium.kernels.attention_stats import reference as panels
from tokenarium.kernels.attention_stats import triton as attention
from tokenarium.kernels.compact_kv import reference as moving
from tokenarium.kernels.compact_kv import triton as compact
from tokenarium.kernels.decode_attention import reference as decoding
from tokenarium.kernels.decode_attention import triton as decode
from tokenarium.kernels.gather_attention import reference as choosing
from tokenarium.kernels.gather_attention import triton as gather
from tokenarium.kernels.rope_shift import reference as turning
from tokenarium.kernels.rope_shift import triton as rope
from tokenarium.kernels.vocab_stats import reference as reducing
from tokenarium.kernels.vocab_stats import triton as vocabulary

LAYERS, CALLS = 16, 32
"""Caches that are read in turn, and calls that are timed together."""


def run(bench: Bench) -> None:
    """Measure every kernel in both shapes, in the number format of the models."""
    bench.journal.add(facts={"triton": triton.__version__})
    if bench.device == "cuda":
        with bench.part("ceilings"):
            bench.journal.add(facts=_ceilings())
    measures = (_attention, _vocabulary, _decode, _gather, _compact, _rope)
    for measure, shape in itertools.product(measures, shapes(bench.quick)):
        name = measure.__name__.strip("_")
        where = {"model": shape.name, "dtype": dtype(bench)}
        if bench.in_time(name, **where):
            with bench.part(name, **where):
                measure(bench, shape, where)


def _ceilings() -> dict[str, str]:
    """Return how fast the device multiplies and copies, from one run of each."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    large = torch.empty(1 << 31, dtype=torch.uint8, device="cuda").random_()
    copy = torch.empty_like(large)
    product, moved = (_seconds(job) for job in (lambda: a @ b, lambda: copy.copy_(large)))
    return {
        "bfloat16 products": f"{2 * 8192**3 / product / 1e12:.0f} TFLOP/s",
        "copies": f"{2 * large.nbytes / moved / 1e12:.2f} TB/s, read and written",
    }


def _seconds(job: Job, calls: int = 10) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    job()
    begin.record()
    for _ in range(calls):
        job()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def _draw(bench: Bench, *shape: int) -> Tensor:
    """Return normal numbers, the same each time."""
    draw = torch.Generator(bench.device).manual_seed(sum(shape))
    kind = getattr(torch, dtype(bench))
    return torch.randn(shape, generator=draw, device=bench.device, dtype=kind)


def _apart(ours: Any, theirs: Any) -> float:
    """Return the largest distance over the reference's size, of all tensors in two answers."""
    if isinstance(ours, Tensor):
        known = ~(ours.isnan() & theirs.isnan())
        here, there = ours[known].double(), theirs[known].double()
        return float((here - there).norm() / there.norm().clamp_min(1e-30))
    values = [
        vars(given).values() if hasattr(given, "__dict__") else given for given in (ours, theirs)
    ]
    pairs = [pair for pair in zip(*values, strict=True) if pair[0] is not None]
    return max(map(_apart, *zip(*pairs, strict=True)))


def _attention(bench: Bench, shape: Shape, where: dict[str, Any]) -> None:
    """Attention with nothing measured and with every statistic."""
    for length in (40,) if bench.quick else (2048, 8192):
        _attention_over(bench, shape, length, where | {"tokens": length})


def _attention_over(bench: Bench, shape: Shape, length: int, where: dict[str, Any]) -> None:
    heads = shape.heads, shape.groups, shape.groups
    q, k, v = (_draw(bench, n, length, shape.size) for n in heads)

    inputs = AttentionInput(q, k, v, scaling=shape.size**-0.5)

    def via(module: Any, want: Want) -> Job:
        return lambda: module.attention_stats(inputs, want)

    def sdpa() -> Tensor:
        given = q[None], k[None], v[None]
        return F.scaled_dot_product_attention(*given, is_causal=True, enable_gqa=True)

    every = every_statistic(length)
    jobs = {"attention_stats, sdpa": sdpa}
    jobs["attention_stats, Triton, output alone"] = via(attention, Want())
    jobs["attention_stats, Triton, every statistic"] = via(attention, every)
    apart = ""
    if length <= 2048:  # the panels' many small steps are slow on a GPU
        jobs["attention_stats, PyTorch, every statistic"] = via(panels, every)
        apart = f"; {_apart(via(attention, every)(), via(panels, every)()):.1e} from the twin"
    work = 2 * length**2 * shape.heads * shape.size

    def remark(name: str, row: Measured) -> str:
        said = f"{work / row.ms.p50 / 1e9:.0f} TFLOP/s"
        return said + (apart if "Triton, every" in name else "")

    with torch.inference_mode():
        bench.timed(jobs, 10, 4, remark, **where)


def _vocabulary(bench: Bench, shape: Shape, where: dict[str, Any]) -> None:
    """All statistics of rows of logits, compared with other logits."""
    rows = 8 if bench.quick else 256
    logits, other = (_draw(bench, rows, shape.vocabulary) * scale for scale in (4, 3))
    targets = torch.arange(rows, device=bench.device)

    def twin() -> object:
        before = reducing.vocab_stats(other, None, 0, False, None, keep_probs=True)
        return reducing.vocab_stats(logits, targets, 10, True, before, False)

    def own() -> object:
        return vocabulary.vocab_stats(logits, targets, 10, True, None, other, False)

    _pair(bench, "vocab_stats", twin, own, 2 * logits.nbytes, where | {"tokens": rows})


def _pair(
    bench: Bench,
    name: str,
    twin: Job,
    own: Job,
    moved: int,
    where: dict[str, Any],
    more: dict[str, Job] | None = None,
) -> None:
    """Time a kernel beside its twin; ``moved`` bytes are the fewest that it can read and write."""
    compared = f"; {_apart(own(), twin()):.1e} from the twin"

    def remark(job: str, row: Measured) -> str:
        return f"{moved / row.ms.p50 / 1e6:.0f} GB/s" + (compared if "Triton" in job else "")

    jobs = {f"{name}, PyTorch": twin, f"{name}, Triton": own, **(more or {})}
    bench.timed(jobs, 10, CALLS, remark, **where)


def _caches(bench: Bench, shape: Shape, count: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return queries, keys [G * S, D] and values of several layers."""
    layers = 1 if bench.quick else LAYERS
    return [
        (
            _draw(bench, shape.heads, 1, shape.size),
            _draw(bench, shape.groups * count, shape.size),
            _draw(bench, shape.groups * count, shape.size),
        )
        for _ in range(layers)
    ]


def _in_turn(call: Callable[..., object], caches: list[Any]) -> Job:
    """Return a job that reads another cache each time."""
    ahead = itertools.cycle(caches)
    return lambda: call(*next(ahead))


def _decode(bench: Bench, shape: Shape, where: dict[str, Any]) -> None:
    """One query over a cache, with the weights that scores need."""
    count = 200 if bench.quick else 16384
    caches = _caches(bench, shape, count)
    starts, counts = [g * count for g in range(shape.groups)], [count] * shape.groups
    plain = {"scaling": shape.size**-0.5, "softcap": None, "sinks": None, "window": None}

    def via(module: Any, weights: bool) -> Callable[..., object]:
        return lambda q, k, v: module.decode_attention(
            q, k, v, starts, counts, **plain, want_weights=weights
        )

    def sdpa(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys, values = (given.view(1, shape.groups, count, -1) for given in (k, v))
        return F.scaled_dot_product_attention(q[None], keys, values, enable_gqa=True)

    moved = 2 * caches[0][1].nbytes
    more = {
        "decode_attention, Triton, no weights": _in_turn(via(decode, False), caches),
        "decode_attention, sdpa": _in_turn(sdpa, caches),
    }
    twin, own = (_in_turn(via(module, True), caches) for module in (decoding, decode))
    _pair(bench, "decode_attention", twin, own, moved, where | {"tokens": count}, more)


def _gather(bench: Bench, shape: Shape, where: dict[str, Any]) -> None:
    """One query over an eighth of a cache, in blocks of 16."""
    count = 256 if bench.quick else 16384
    caches = _caches(bench, shape, count)
    starts, counts = [g * count for g in range(shape.groups)], [count] * shape.groups
    draw = torch.Generator().manual_seed(1)
    blocks = [
        torch.randperm(count // 16, generator=draw)[: count // 128].sort().values
        for _ in range(shape.groups)
    ]
    chosen = torch.stack(blocks).to(bench.device)
    plain = {"scaling": shape.size**-0.5, "softcap": None, "sinks": None, "block": 16}

    def via(module: Any) -> Callable[..., object]:
        return lambda q, k, v: module.gather_attention(
            q, k, v, starts, counts, chosen, **plain, want_weights=False
        )

    twin, own = (_in_turn(via(module), caches) for module in (choosing, gather))
    moved = 2 * caches[0][1].nbytes // 8
    _pair(bench, "gather_attention", twin, own, moved, where | {"tokens": count})


def _compact(bench: Bench, shape: Shape, where: dict[str, Any]) -> None:
    """Every second entry of each head moves to the front."""
    count = 256 if bench.quick else 16384
    starts = [g * count for g in range(shape.groups)]
    kept = torch.arange(0, count, 2, device=bench.device).expand(shape.groups, -1).contiguous()
    buffers = [_draw(bench, shape.groups * count, shape.size) for _ in range(2)]

    def via(module: Any, buffer: Tensor) -> Job:
        def move() -> Tensor:
            module.compact_kv(buffer, starts, kept, starts)
            return buffer

        return move

    twin, own = via(moving, buffers[0]), via(compact, buffers[1])
    _pair(bench, "compact_kv", twin, own, buffers[0].nbytes, where | {"tokens": count})


def _rope(bench: Bench, shape: Shape, where: dict[str, Any]) -> None:
    """All keys of a cache turn, each by its own distance."""
    count = 256 if bench.quick else 16384
    x = _draw(bench, shape.groups, count, shape.size)
    by = torch.arange(count, device=bench.device) % 97 - 48
    frequencies = 1e4 ** (-torch.arange(shape.size // 2, device=bench.device) * 2 / shape.size)
    twin, own = (
        (lambda module=module: module.rope_shift(x, by, frequencies, False))
        for module in (turning, rope)
    )
    _pair(bench, "rope_shift", twin, own, x.nbytes + 4 * x.numel(), where | {"tokens": count})
