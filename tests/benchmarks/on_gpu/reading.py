"""What verifying a tree of guesses costs beside transformers' pass over as many tokens."""

from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, models, shape_of
from tests.benchmarks.reading import layer_jobs, read_jobs


def run(bench: Bench) -> None:
    """Measure trees of several sizes, and the attention of the largest."""
    text, nodes = (64, [1, 8]) if bench.quick else (1024, [1, 4, 16, 64])
    where = {"model": shape_of(bench).name, "tokens": text, "dtype": dtype(bench)}
    made = models(bench)
    bench.timed(read_jobs(made.loaded, made.twins["sdpa"], text, nodes), 10, **where)
    bench.timed(layer_jobs(made.loaded, text, nodes[-1]), 10, 20, **where)
