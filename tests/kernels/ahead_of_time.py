"""Compile kernels for GPUs that are not here, and read what they use from the machine code.

``python -m tests.kernels.ahead_of_time attention_stats:bfloat16:64 vocab_stats:float32:32000``
prints one line of JSON for each kernel and target, with the number format and the head size or the
vocabulary. A process of its own, because the interpreter changes Triton.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from tokenarium.kernels.attention_stats import Grid, Want
from tokenarium.kernels.attention_stats.triton.forward import forward_launch
from tokenarium.kernels.attention_stats.triton.layer import Layer
from tokenarium.kernels.attention_stats.triton.picked import picked_launch
from tokenarium.kernels.attention_stats.triton.summing import sums_launch
from tokenarium.kernels.compact_kv.triton import Moves
from tokenarium.kernels.compact_kv.triton import launch as compact_launch
from tokenarium.kernels.decode_attention.triton import Choice, decoding
from tokenarium.kernels.launch import Launch
from tokenarium.kernels.rope_shift.triton import launch as turn_launch
from tokenarium.kernels.tree_attention.triton import verifying
from tokenarium.kernels.vocab_stats.triton import launch as vocab_launch

TARGETS = (80, 90)
LENGTH = 8192
TYPES = {
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
}
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


def attention_launches(dtype: torch.dtype, size: int, target: int, special: bool) -> list[Launch]:
    """Every kernel of attention_stats with every output, as heads of ``size`` would start it.

    ``special`` adds a window, a cap, learned sinks and a mask.
    """
    q, k, v = (torch.empty(heads, LENGTH, size, dtype=dtype, device="meta") for heads in (8, 2, 2))
    layer = Layer(
        q,
        k,
        v,
        scaling=1.0,
        offset=0,
        window=100 if special else None,
        softcap=30.0 if special else None,
        sinks=torch.empty(8, device="meta") if special else None,
        mask=torch.empty(1, LENGTH, LENGTH, device="meta") if special else None,
        target=target,
    )
    want = Want(
        received=True,
        entropy=True,
        distance=True,
        columns=tuple(range(64)),
        diagonals=(0, 1),
        decay=(0.9, 0.99, 0.999),
        last=32,
        segments=16,
        tiles=Grid.square(LENGTH, 64),
    )
    rows = forward_launch(layer, want)
    picks, sums = (other(layer, want, rows.log_sum) for other in (picked_launch, sums_launch))
    return [rows.launch, picks.launch, *sums.launches]


def vocabulary_launches(dtype: torch.dtype, vocabulary: int) -> list[Launch]:
    """The kernel of vocab_stats with every output."""
    logits, other = (torch.empty(256, vocabulary, dtype=dtype, device="meta") for _ in range(2))
    targets = torch.empty(256, dtype=torch.int64, device="meta")
    return [vocab_launch(logits, targets, 10, True, None, other)]


def decode_launches(dtype: torch.dtype, size: int, special: bool, chosen: bool) -> list[Launch]:
    """Both kernels of decode_attention, or of gather_attention where entries are ``chosen``.

    ``special`` adds more queries, a cap, learned sinks and, where none are chosen, a window.
    """

    def meta(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    prepared = decoding(
        meta(8, 40 if special else 1, size),
        meta(4 * LENGTH, size),
        meta(4 * LENGTH, size),
        meta(4, 2, dtype=torch.int64),
        LENGTH,
        Choice(meta(4, LENGTH // 16, dtype=torch.int64), 16) if chosen else None,
        scaling=1.0,
        softcap=30.0 if special else None,
        sinks=meta(8) if special else None,
        window=100 if special and not chosen else None,
        want_weights=True,
    )
    return list(prepared.launches)


def tree_launches(dtype: torch.dtype, size: int, special: bool) -> list[Launch]:
    """Both kernels of tree_attention; ``special`` adds a cap, learned sinks and a window."""

    def meta(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    prepared = verifying(
        meta(8, 40, size),
        meta(2, LENGTH, size),
        meta(2, LENGTH, size),
        meta(40, 2, dtype=torch.int64),
        meta(100, dtype=torch.int32),
        0,
        scaling=1.0,
        softcap=30.0 if special else None,
        sinks=meta(8) if special else None,
        window=100 if special else None,
    )
    return list(prepared.launches)


def compact_launches(dtype: torch.dtype, size: int) -> list[Launch]:
    """The kernel of compact_kv, for rows of ``size`` numbers."""
    buffer = torch.empty(4 * LENGTH, size, dtype=dtype, device="meta")
    kept = torch.empty(2 * LENGTH, dtype=torch.int64, device="meta")
    table = torch.empty(4, 4, dtype=torch.int64, device="meta")
    moves = Moves(4, LENGTH, start_step=LENGTH, place_step=LENGTH)
    return [compact_launch(buffer, kept, own) for own in (moves, replace(moves, table=table))]


def turn_launches(dtype: torch.dtype, size: int) -> list[Launch]:
    """The kernel of rope_shift in both layouts, where all entries turn and where a half does."""
    x = torch.empty(8, LENGTH, size, dtype=dtype, device="meta")
    by = torch.empty(LENGTH, dtype=torch.int64, device="meta")
    halves = (size // 2, False), (size // 4, True)
    return [turn_launch(x, by, torch.empty(half, device="meta"), pairs) for half, pairs in halves]


def compiled(launch: Launch, target: int):
    """Compile a launch as the just-in-time compiler would for its arguments."""
    kernel, signature, constants, hints = launch.kernel, {}, {}, {}
    for index, parameter in enumerate(kernel.params):
        value = launch.arguments[parameter.name]
        plain = parameter.do_not_specialize
        if parameter.is_constexpr or value is None or (is_int(value) and value == 1 and not plain):
            signature[parameter.name] = "constexpr"
            constants[(index,)] = value
        elif torch.is_tensor(value):
            signature[parameter.name] = "*" + TYPES[value.dtype]
            hints[(index,)] = [["tt.divisibility", 16]]
        else:
            signature[parameter.name] = "i32" if is_int(value) else "fp32"
            if is_int(value) and value % 16 == 0 and not plain:
                hints[(index,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, constants, hints)
    return triton.compile(source, target=GPUTarget("cuda", target, 32), options=launch.options)


def is_int(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def usage(launch: Launch, target: int) -> dict:
    """Return registers and spilled bytes a thread, shared memory a block, and matrix units."""
    made = compiled(launch, target)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        command = [CUOBJDUMP, "-res-usage", file.name]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    registers, stack = (int(re.search(rf"{name}:(\d+)", found)[1]) for name in ("REG", "STACK"))
    return {
        "kernel": launch.kernel.__name__,
        "target": f"sm_{target}",
        "block": [value for name, value in launch.arguments.items() if name.startswith("block")],
        "warps": launch.options["num_warps"],
        "registers": registers,
        "shared_bytes": made.metadata.shared,
        "spilled_bytes": stack,
        "matrix_units": "mma" in made.asm["ptx"],
    }


def launches(name: str, dtype: torch.dtype, size: int, target: int) -> list[Launch]:
    if name == "vocab_stats":
        return vocabulary_launches(dtype, size)
    if name == "rope_shift":
        return turn_launches(dtype, size)
    if name == "compact_kv":
        return compact_launches(dtype, size)
    if name.startswith("tree_attention"):
        return tree_launches(dtype, size, special=name.endswith("special"))
    if name.startswith(("decode_attention", "gather_attention")):
        special, chosen = name.endswith("special"), name.startswith("gather")
        return decode_launches(dtype, size, special, chosen)
    return attention_launches(dtype, size, target, special=name == "attention_stats_special")


def main(cases: list[str]) -> None:
    for case in cases:
        name, dtype, size = case.split(":")
        for target in TARGETS:
            for launch in launches(name, getattr(torch, dtype), int(size), target):
                line = {"case": case, **usage(launch, target)}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
