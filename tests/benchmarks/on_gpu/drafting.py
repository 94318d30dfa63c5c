"""Drafting with the bundled pair beside plain decoding and transformers' assisted generation."""

from transformers.utils import logging

from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype
from tests.benchmarks.speculation import KINDS, Row, methods_of, rows_of
from tests.benchmarks.timing import Measured, Quantiles

METHODS = (
    *("draft_chain", "topk_tree", "early_exit", "prompt_lookup", "token_recycling"),
    *("transformers, plain", "transformers, assistant", "transformers, prompt lookup"),
)


def run(bench: Bench) -> None:
    """Measure some prompts of every kind, greedily."""
    logging.set_verbosity_error()
    count, each = (8, 1) if bench.quick else (32, 2)
    methods, tokenizer = methods_of(dtype(bench), bench.device, count)
    methods = {name: methods[name] for name in ("plain", *METHODS)}
    where = {"model": "bundled pair", "tokens": count, "dtype": dtype(bench)}
    for kind, texts in KINDS.items():
        if bench.in_time(kind, **where):
            rows = rows_of(methods, [tokenizer(text)["input_ids"] for text in texts[:each]])
            bench.journal.measured(
                {f"{name}, {kind}": _times(row) for name, row in rows.items()},
                remarks={
                    f"{name}, {kind}": f"a token; {row.tokens / row.calls:.2f} tokens a pass"
                    for name, row in rows.items()
                },
                section=bench.section,
                **where,
            )


def _times(row: Row) -> Measured:
    """Return milliseconds a token, and their ratio to plain decoding's."""
    return Measured(
        Quantiles.of([1e3 / pace for pace in row.pace]),
        Quantiles.of([1 / ratio for ratio in row.ratio]),
    )
