"""Whole forward passes with attention statistics beside sdpa and eager attention."""

from tests.benchmarks.forward import forward_jobs
from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, models, shapes


def run(bench: Bench) -> None:
    """Measure every shape at every length."""
    lengths = (64, 128) if bench.quick else (512, 2048, 8192)
    for shape in shapes(bench.quick):
        where = {"model": shape.name, "dtype": dtype(bench)}
        with bench.part("all", **where):
            made = models(bench, shape.name)
            for length in lengths:
                if bench.in_time("all", tokens=length, **where):
                    jobs, left_out = forward_jobs(made, length)
                    bench.timed(jobs, 7, tokens=length, **where)
                    for reason in left_out:
                        bench.journal.say(f"not run: {reason}")
            del made
