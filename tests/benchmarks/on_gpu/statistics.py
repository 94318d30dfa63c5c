"""Whole forward passes with attention statistics beside sdpa and eager attention."""

from tests.benchmarks.forward import forward_jobs
from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, models, shape_of


def run(bench: Bench) -> None:
    """Measure every length."""
    where = {"model": shape_of(bench).name, "dtype": dtype(bench)}
    for length in (64, 128) if bench.quick else (512, 2048, 8192):
        if bench.in_time("all", tokens=length, **where):
            jobs, left_out = forward_jobs(models(bench), length)
            bench.timed(jobs, 7, tokens=length, **where)
            for reason in left_out:
                bench.journal.say(f"not run: {reason}")
