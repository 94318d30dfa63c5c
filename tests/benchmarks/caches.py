"""Decoding under KV-cache policies: ``python -m tests.benchmarks.caches`` prints tables.

Every policy, the full cache, transformers and (where TOKENARIUM_KVPRESS_PYTHON names a Python that
has it) kvpress continue the same prompt with the same weights, some tokens each in turn.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from tests.benchmarks.courses import KVPRESS, Course, OfKVPress, OfPolicy, OfTransformers, Static
from tests.benchmarks.models import LONGEST, SHAPES, save
from tests.benchmarks.timing import Quantiles
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.environment import commit, device_name, versions
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource

TOGETHER = 8
"""Tokens that one course reads before it is the next one's turn."""
PAUSE_S = 0.1
"""Before every turn: on a busy machine a process that has run long is interrupted more than one
that waited, and kvpress waits while all others run."""
PRESSES: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("RandomPress", {}),
    "streaming_llm": ("StreamingLLMPress", {"n_sink": 4}),
    "tova": ("TOVAPress", {}),
    "snapkv": ("SnapKVPress", {}),
    "pyramidkv": ("PyramidKVPress", {}),
    "keydiff": ("KeyDiffPress", {}),
    "knorm": ("KnormPress", {}),
    "expected_attention": ("ExpectedAttentionPress", {}),
    "adakv": ("AdaKVPress", {"press": ["SnapKVPress", {}]}),
}
"""kvpress's press for a policy; all act once, after the prompt."""


@dataclass(frozen=True)
class Row:
    """One course's numbers."""

    ms: Quantiles
    tokens_per_s: float
    of_full: Quantiles
    """Time of our full cache over its own: medians of the same turn."""
    ms_of_full: Quantiles
    """Its own time over that of our full cache."""
    of_static: Quantiles
    """Time over that of our engine with as large a cache and nothing scored or dropped."""
    held_bytes: int
    prefill_ms: float
    prefill_of_full: Quantiles


def main() -> None:
    """Print the tables, and write them where asked."""
    options = argparse.ArgumentParser(prog="python -m tests.benchmarks.caches", description=__doc__)
    options.add_argument("--shape", default="llama-21m", choices=SHAPES)
    options.add_argument("--lengths", type=int, nargs="*", default=[4096, 16384])
    options.add_argument("--shares", type=float, nargs="*", default=[0.25, 0.06])
    options.add_argument(
        "--policies", nargs="*", default=[own.slug for own in Policy.registry.all()]
    )
    options.add_argument("--steps", type=int, default=128)
    options.add_argument("--prefills", type=int, default=3)
    options.add_argument("--pause", type=float, default=PAUSE_S, help="seconds before every turn")
    options.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    options.add_argument("--json", type=Path, help="file for the numbers")
    asked = options.parse_args()
    logging.disable_progress_bar()
    libraries = ", ".join(f"{name} {version}" for name, version in versions().items())
    heading = f"commit {commit()}; {asked.shape}, {asked.dtype}, on {device_name(asked.device)}"
    print(f"{heading}, {torch.get_num_threads()} threads; {libraries}")
    print(
        f"{asked.steps} tokens, {TOGETHER} a turn; {asked.prefills} prefills; load average "
        f"{os.getloadavg()[0]:.1f}"
    )
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        save(asked.shape, asked.dtype, Path(name))
        source = ModelSource(asked.shape, Path(name), None, asked.shape)
        loaded = load(source, asked.dtype, asked.device, LONGEST)
        for length in asked.lengths:
            for share in asked.shares:
                rows = measured(loaded, Path(name), length, share, asked)
                show(f"{length} tokens, budget {share:.0%}", rows)
                found += [
                    {"length": length, "share": share, "course": course, **asdict(row)}
                    for course, row in rows.items()
                ]
    if asked.json:
        asked.json.write_text(json.dumps({"heading": heading, "rows": found}, indent=1))


@contextmanager
def courses(
    loaded: LoadedModel, folder: Path, length: int, share: float, policies: list[str]
) -> Iterator[dict[str, Course]]:
    """Yield all courses of one prompt and budget by name."""
    vocabulary = int(loaded.model.config.vocab_size)
    ids = torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(0)).tolist()
    budget = round(share * length)
    plain = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="sdpa", dtype=loaded.dtype
    ).to(loaded.device)
    made: dict[str, Course] = {
        "full": OfPolicy(loaded, PolicySpec("full").policy, 1, ids),
        "static": Static(loaded, budget, ids),
        "transformers": OfTransformers(plain.eval(), ids),
    }
    for slug in policies:
        if slug != "full":
            made[slug] = OfPolicy(loaded, PolicySpec(slug).policy, budget, ids)
    pressed = []
    if os.environ.get(KVPRESS) and loaded.device.type == "cpu":
        for slug in (own for own in policies if own in PRESSES):
            name, more = PRESSES[slug]
            ratio = {"compression_ratio": 1 - share}
            if "press" in more:
                inner, own = more["press"]
                more, ratio = {"press": [inner, own | ratio]}, {}
            pressed.append(OfKVPress(folder, (name, more | ratio), ids))
            made[f"kvpress {name}"] = pressed[-1]
    try:
        yield made
    finally:
        for one in pressed:
            one.close()


def measured(
    loaded: LoadedModel, folder: Path, length: int, share: float, asked: argparse.Namespace
) -> dict[str, Row]:
    """Return every course's numbers."""
    with courses(loaded, folder, length, share, asked.policies) as made:
        prefills = [
            {name: one.prefill() for name, one in made.items()} for _ in range(asked.prefills + 1)
        ][1:]  # the first meets shapes that libraries have not met
        turns = [
            {name: rested(one, asked.pause) for name, one in made.items()}
            for _ in range(asked.steps // TOGETHER)
        ]
        held = {name: one.held_bytes() for name, one in made.items()}
    rows = {}
    for name in made:
        own, full, static = (
            [statistics.median(turn[course]) for turn in turns]
            for course in (name, "full", "static")
        )
        rows[name] = Row(
            ms=Quantiles.of([ms for turn in turns for ms in turn[name]]),
            tokens_per_s=1e3 / statistics.fmean(ms for turn in turns for ms in turn[name]),
            of_full=Quantiles.of([a / b for a, b in zip(full, own, strict=True)]),
            ms_of_full=Quantiles.of([a / b for a, b in zip(own, full, strict=True)]),
            of_static=Quantiles.of([a / b for a, b in zip(own, static, strict=True)]),
            held_bytes=held[name],
            prefill_ms=statistics.median(one[name] for one in prefills),
            prefill_of_full=Quantiles.of([one[name] / one["full"] for one in prefills]),
        )
    return rows


def rested(course: Course, seconds: float) -> list[float]:
    """Return the milliseconds of a turn after a pause."""
    time.sleep(seconds)
    return course.decode(TOGETHER)


def show(title: str, rows: dict[str, Row]) -> None:
    """Print a table in Markdown."""
    print(f"\n{title}\n")
    print(
        "| course | ms a token p20 / p50 / p80 | tokens/s | times full | times static's time "
        "| MB held | prefill ms | times full's |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        print(
            f"| {name} | {row.ms.p20:.1f} / {row.ms.p50:.1f} / {row.ms.p80:.1f} "
            f"| {row.tokens_per_s:.0f} | {row.of_full.p50:.2f} ({row.of_full.p20:.2f} to "
            f"{row.of_full.p80:.2f}) | {row.of_static.p50:.2f} ({row.of_static.p20:.2f} to "
            f"{row.of_static.p80:.2f}) | {row.held_bytes / 1e6:.1f} | {row.prefill_ms:.0f} "
            f"| {row.prefill_of_full.p50:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
