"""One attention layer: what each wanted statistic adds."""

import dataclasses

import torch
import torch.nn.functional as F

from tests.benchmarks.forward import Job, every_statistic
from tests.benchmarks.models import SHAPES
from tokenarium.kernels.attention_stats import AttentionInput, Want, attention_stats


def output_jobs(shape: str, length: int, dtype: str, device: str) -> dict[str, Job]:
    """Return attention over random tensors: plain, with nothing, each statistic, and all."""
    sizes = SHAPES[shape]
    heads, groups = sizes["num_attention_heads"], sizes["num_key_value_heads"]
    size = sizes["hidden_size"] // heads
    draw = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(1, n, length, size, generator=draw).to(device, getattr(torch, dtype))
        for n in (heads, groups, groups)
    )

    attention = AttentionInput(q[0], k[0], v[0], scaling=size**-0.5)

    def measure(want: Want) -> Job:
        return lambda: attention_stats(attention, want)

    def plain() -> object:
        with torch.inference_mode():
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

    everything = every_statistic(length)
    alone = {
        field.name: measure(Want(**{field.name: getattr(everything, field.name)}))
        for field in dataclasses.fields(everything)
    }
    return {"sdpa": plain, "nothing": measure(Want()), **alone, "all": measure(everything)}
