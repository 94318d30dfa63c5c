"""Drafting with the bundled pair beside plain decoding, and what reading a tree costs."""

from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, models, shapes
from tests.benchmarks.reading import layer_jobs, read_jobs
from tests.benchmarks.speculation import KINDS, methods_of, rows_of
from tests.benchmarks.timing import Measured, Quantiles

METHODS = (
    *("draft_chain", "topk_tree", "early_exit", "prompt_lookup", "token_recycling"),
    *("transformers, plain", "transformers, assistant", "transformers, prompt lookup"),
)


def run(bench: Bench) -> None:
    """Measure the costs of trees first: the drafters take what time is left."""
    for shape in shapes(bench.quick):
        where = {"model": shape.name, "dtype": dtype(bench)}
        if bench.in_time("reading", **where):
            with bench.part("reading", **where):
                _reading(bench, shape.name, where)
    if bench.in_time("drafting"):
        with bench.part("drafting", model="bundled pair"):
            _drafting(bench)


def _reading(bench: Bench, name: str, where: dict[str, str]) -> None:
    made = models(bench, name)
    text, nodes = (64, [1, 8]) if bench.quick else (1024, [1, 4, 16, 64])
    reads = read_jobs(made.loaded, made.twins["sdpa"], text, nodes)
    bench.timed(reads, 10, tokens=text, **where)
    bench.timed(layer_jobs(made.loaded, text, nodes[-1]), 10, 20, tokens=text, **where)


def _drafting(bench: Bench) -> None:
    count, each = (8, 1) if bench.quick else (48, 3)
    methods, tokenizer = methods_of(dtype(bench), bench.device, count)
    methods = {name: methods[name] for name in ("plain", *METHODS)}
    for kind, texts in KINDS.items():
        if not bench.in_time(kind, model="bundled pair"):
            return
        prompts = [tokenizer(text)["input_ids"] for text in texts[:each]]
        rows = rows_of(methods, prompts)
        bench.journal.measured(
            {
                f"{name}, {kind}": Measured(
                    Quantiles.of([1e3 / pace for pace in row.pace]),
                    Quantiles.of([1 / ratio for ratio in row.ratio]),
                )
                for name, row in rows.items()
            },
            None,
            {
                f"{name}, {kind}": f"a token; {row.tokens / row.calls:.2f} tokens a pass"
                for name, row in rows.items()
            },
            section=bench.section,
            model="bundled pair",
            dtype=dtype(bench),
            tokens=count,
        )
