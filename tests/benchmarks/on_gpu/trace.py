"""A trace, with and without the logit lens, beside a forward pass that returns all logits."""

import torch

from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, length_of, models, shapes
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace


def run(bench: Bench) -> None:
    """Measure the smaller shape at several lengths."""
    shape, *_ = shapes(bench.quick)
    made = models(bench, shape.name)
    loaded, plain = made.loaded, made.twins["sdpa"]
    for tokens in (48,) if bench.quick else (64, 512, 1168):
        where = {"model": shape.name, "dtype": dtype(bench), "tokens": tokens}
        if not bench.in_time("all", **where):
            return
        text = length_of(loaded, tokens)
        ids = torch.tensor([loaded.tokenizer(text)["input_ids"]], device=bench.device)
        assert ids.shape[1] == tokens

        @torch.inference_mode()
        def forward(ids=ids):
            return plain(input_ids=ids, use_cache=False).logits

        def traced(lens, text=text):
            request = TraceRequest(model="random", text=text, logit_lens=lens)
            return lambda: trace(request, loaded, 1 << 16, lambda _: None, CancelToken())

        jobs = {
            "forward with all logits, sdpa": forward,
            "trace": traced(False),
            "trace with logit lens": traced(True),
        }
        bench.timed(jobs, 5, **where)
