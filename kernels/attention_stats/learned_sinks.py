"""How attention is shared between keys and a learned sink (gpt-oss: OpenAI, 2025, 2508.10925)."""

from dataclasses import replace

from torch import Tensor

from tokenarium.kernels.attention_stats import attention_stats
from tokenarium.kernels.attention_stats.declaration import Want
from tokenarium.kernels.attention_stats.inputs import AttentionInput


def share_on_keys(attention: AttentionInput) -> Tensor:
    """Return [H, T] sum over keys j of A[i, j], float32; the rest goes to the learned sink.

    Values of one sum the weights up, by whatever computes attention here.
    """
    ones = attention.v.new_ones(*attention.v.shape[:2], 1).float()
    alone = replace(attention, q=attention.q.float(), k=attention.k.float(), v=ones)
    return attention_stats(alone, Want())[0][..., 0].T
