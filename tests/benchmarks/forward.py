"""Whole forward passes: watched and not."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tests.benchmarks.models import Models
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.kernels.attention_stats import Grid, Want, attention_stats

EAGER_BYTES = 4 << 30
"""Attentions larger than this are not returned: the machine would swap, or run out."""

Job = Callable[[], object]


def every_statistic(length: int) -> Want:
    """All that can be wanted of a text of some length, as a trace wants it and more."""
    return Want(
        received=True,
        entropy=True,
        distance=True,
        columns=(0,),
        diagonals=(0, 1),
        decay=(0.999, 0.99, 0.95, 0.9),
        last=min(32, length),
        segments=min(8, length),
        tiles=Grid.square(length, 64),
    )


class EveryStatistic(Recorder):
    """Computes every statistic of every layer, and keeps them on the device."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._want, self.kept = every_statistic(length), []

    def attend(self, call: AttentionCall) -> Tensor:
        out, stats = attention_stats(replace(call.inputs(), mask=None), self._want)
        self.kept.append(stats)
        return out[None]


def forward_jobs(models: Models, length: int) -> tuple[dict[str, Job], list[str]]:
    """Return forward passes over ``length`` tokens, the plain one first, and what is left out."""
    config = models.loaded.model.config
    draw = torch.Generator().manual_seed(length)
    ids = torch.randint(config.vocab_size, (1, length), generator=draw).to(models.loaded.device)

    @torch.inference_mode()
    def read(model: torch.nn.Module, **values: bool) -> object:
        return model.base_model(input_ids=ids, use_cache=False, **values)

    def watched() -> object:
        with recording(EveryStatistic(length)) as recorder:
            read(models.loaded.model)
        return recorder

    jobs: dict[str, Job] = {
        "sdpa": lambda: read(models.twins["sdpa"]),
        "ours, nothing recorded": lambda: read(models.loaded.model),
        "ours, every statistic": watched,
    }
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    attentions = layers * heads * length**2 * models.loaded.dtype.itemsize
    if attentions > EAGER_BYTES:
        return jobs, [f"eager: its attentions alone would take {attentions / 2**30:.1f} GiB"]
    jobs["eager, returning attentions"] = lambda: read(
        models.twins["eager"], output_attentions=True
    )
    return jobs, []
