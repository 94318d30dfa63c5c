"""Decoding under KV-cache policies beside the full cache, a static one and transformers'."""

import argparse

from tests.benchmarks.caches import measured
from tests.benchmarks.models import LONGEST
from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, folder, shapes
from tests.benchmarks.timing import Measured
from tokenarium.backend.cache import policies as _every  # noqa: F401 - every policy registers itself
from tokenarium.backend.cache.policy import registered
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource

FEW = (
    *("streaming_llm", "h2o", "tova", "snapkv"),
    *("keydiff", "expected_attention", "adakv", "token_select"),
)


def run(bench: Bench) -> None:
    """Measure every policy on the small shape, and some at a longer prompt on the large one."""
    every = [own.slug for own in registered() if own.slug != "full"]
    if bench.quick:
        plan = [(200, 0.25, ["streaming_llm", "h2o", "adakv"])]
    else:
        plan = [(4096, 0.25, every), (16384, 0.06, [slug for slug in every if slug in FEW])]
    for shape, (length, share, slugs) in zip(shapes(bench.quick), plan, strict=True):
        where = {"model": shape.name, "dtype": dtype(bench), "tokens": length}
        if not bench.in_time("all", **where):
            return
        with bench.part("all", **where):
            _measure(bench, shape.name, length, share, slugs, where)


def _measure(
    bench: Bench, name: str, length: int, share: float, slugs: list[str], where: dict[str, object]
) -> None:
    place = folder(bench, name)
    source = ModelSource(name, place, None, name)
    loaded = load(source, dtype(bench), bench.device, LONGEST)
    steps = 8 if bench.quick else 32
    asked = argparse.Namespace(policies=slugs, prefills=2, steps=steps, pause=0.0)
    rows = measured(loaded, place, length, share, asked)
    bench.journal.measured(
        {course: Measured(row.ms, row.ms_of_full) for course, row in rows.items()},
        {course: row.held_bytes for course, row in rows.items()},
        {
            course: f"{share:.0%} kept; prefill {row.prefill_of_full.p50:.2f} of full's "
            f"{rows['full'].prefill_ms:.0f} ms"
            for course, row in rows.items()
        },
        section=bench.section,
        **where,
    )
