"""Decoding under KV-cache policies beside the full cache, a static one and transformers'."""

import argparse
from typing import Any

from tests.benchmarks.caches import measured
from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, folder, models, shape_of
from tests.benchmarks.timing import Measured
from tokenarium.backend.cache import policies as _every  # noqa: F401 - every policy registers itself
from tokenarium.backend.cache.policy import Policy

FEW = (
    *("streaming_llm", "h2o", "tova", "snapkv"),
    *("keydiff", "expected_attention", "adakv", "token_select"),
)

TOGETHER = 9
"""Policies that are measured in turn: each such group is known, and kept, as soon as it is done."""


def run(bench: Bench) -> None:
    """Measure every policy on the small model, and some at a longer prompt on the large one."""
    slugs = [own.slug for own in Policy.registry.all() if own.slug != "full"]
    length, share = (2048, 0.25)
    if bench.quick:
        slugs, length = ["streaming_llm", "h2o", "adakv"], 200
    elif bench.large:
        slugs, length, share = [slug for slug in slugs if slug in FEW], 16384, 0.06
    where = {"model": shape_of(bench).name, "tokens": length, "dtype": dtype(bench)}
    for begin in range(0, len(slugs), TOGETHER):
        own = slugs[begin : begin + TOGETHER]
        if bench.in_time(", ".join(own), **where):
            _measure(bench, own, share, where)


def _measure(bench: Bench, slugs: list[str], share: float, where: dict[str, Any]) -> None:
    """Measure some policies, step by step in turn."""
    steps = 8 if bench.quick else 24
    asked = argparse.Namespace(policies=slugs, prefills=1, steps=steps, pause=0.0)
    rows = measured(models(bench).loaded, folder(bench), where["tokens"], share, asked)
    bench.journal.measured(
        {course: Measured(row.ms, row.ms_of_full) for course, row in rows.items()},
        {course: row.held_bytes for course, row in rows.items()},
        {
            course: f"a token; {share:.0%} kept; prefill {row.prefill_ms:.0f} ms"
            for course, row in rows.items()
        },
        section=bench.section,
        **where,
    )
