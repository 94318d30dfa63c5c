"""A trace, with and without the logit lens, beside a forward pass that returns all logits."""

import torch

from tests.benchmarks.on_gpu.section import Bench
from tests.benchmarks.on_gpu.shapes import dtype, models, shape_of, text_of
from tests.benchmarks.timing import Job
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace


def run(bench: Bench) -> None:
    """Measure several lengths of the smaller model, one of the larger."""
    where = {"model": shape_of(bench).name, "dtype": dtype(bench)}
    lengths = (48,) if bench.quick else (1168,) if bench.large else (64, 512, 1168)
    for tokens in lengths:
        if bench.in_time("all", tokens=tokens, **where):
            bench.timed(_jobs(bench, tokens), 5, tokens=tokens, **where)


def _jobs(bench: Bench, tokens: int) -> dict[str, Job]:
    loaded, plain = models(bench).loaded, models(bench).twins["sdpa"]
    text = text_of(loaded, tokens)
    ids = torch.tensor([loaded.tokenizer(text)["input_ids"]], device=bench.device)
    assert ids.shape[1] == tokens

    @torch.inference_mode()
    def forward() -> torch.Tensor:
        return plain(input_ids=ids, use_cache=False).logits

    def traced(lens: bool) -> Job:
        request = TraceRequest(model="random", text=text, logit_lens=lens)
        return lambda: trace(request, loaded, 1 << 16, lambda _: None, CancelToken())

    return {
        "forward with all logits, sdpa": forward,
        "trace": traced(False),
        "trace with logit lens": traced(True),
    }
