"""The adapter: what the first layers of a model left, turned into what all of them would leave.

With r_p the target's residual at position p after its first layers, ``fc(norm r_p)`` goes through
one attention block and a norm to g_p, which stands for the target's normed last state at p; the
target's own unembedding then says the token at p + 1 (Liu et al., 2024, arXiv:2404.18911, whose
adapter is the attention block and both norms; ``fc`` is ours: a regression sets it).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from tokenarium.backend.pretraining.draft_head.eight_bits import in_eight_bits, restored
from tokenarium.backend.pretraining.draft_head.head import EXAMPLE_ROWS, example_ids
from tokenarium.backend.pretraining.draft_head.target import rotary, rotate

FILE = "adapter.safetensors"


@dataclass(frozen=True)
class AdapterShape:
    """Sizes of an adapter; ``layers`` of the target come before it."""

    layers: int
    hidden_size: int
    heads: int
    groups: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float = 10_000.0
    max_position_embeddings: int = 8192


class Adapter(nn.Module):
    """See the module. Parameters are float32 while training; a file has eight bits."""

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, shape: AdapterShape) -> None:
        super().__init__()
        self.shape, d, size = shape, shape.hidden_size, shape.head_dim
        self.first_norm, self.attention_norm, self.norm = (
            nn.Parameter(torch.ones(d)) for _ in range(3)
        )
        self.fc = nn.Linear(d, d, bias=False)
        self.qkv = nn.Linear(d, (shape.heads + 2 * shape.groups) * size, bias=False)
        self.out = nn.Linear(shape.heads * size, d, bias=False)
        nn.init.normal_(self.qkv.weight, std=d**-0.5)
        nn.init.zeros_(self.out.weight)
        cos, sin = rotary(shape.max_position_embeddings, size, shape.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def normed(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        """Return x [..., d] over its root mean square, times the gain, in float32."""
        return functional.rms_norm(x.float(), x.shape[-1:], gain.float(), self.shape.rms_norm_eps)

    def start(self, residual: torch.Tensor) -> torch.Tensor:
        """Return what attention reads [..., d] of residuals [..., d]."""
        x: torch.Tensor = self.fc(self.normed(residual, self.first_norm))
        return x

    def project(
        self, x: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries [B, H, T, D], keys and values [B, G, T, D] of x [B, T, d] at places."""
        y = self.qkv(self.normed(x, self.attention_norm))
        y = y.view(*x.shape[:2], -1, self.shape.head_dim).transpose(1, 2)
        groups = self.shape.groups
        turned = rotate(y[:, :-groups], self.cos[places], self.sin[places]).to(y.dtype)
        return turned[:, :-groups], turned[:, -groups:], y[:, -groups:]

    def finish(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """Return g [B, T, d] from x [B, T, d] and attention's outputs [B, H, T, D]."""
        return self.normed(x + self.out(mixed.transpose(1, 2).flatten(2)), self.norm)

    def forward(self, residual: torch.Tensor) -> torch.Tensor:
        """Return g [B, T, d] of whole texts of residuals [B, T, d]."""
        x = self.start(residual)
        q, k, v = self.project(x, torch.arange(x.shape[1], device=x.device))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.finish(x, mixed)

    def save(self, folder: Path, embedding: torch.Tensor, facts: Mapping[str, object]) -> None:
        """Write ``adapter.safetensors`` and ``config.json``; ``embedding`` [V, d] is the
        target's, by rows of which the adapter is known again."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: x.detach() for name, x in self.state_dict().items()}
        vectors = {name: x.bfloat16() for name, x in weights.items() if x.ndim < 2}
        tensors = in_eight_bits(weights | vectors)
        tensors[EXAMPLE_ROWS] = embedding[example_ids(len(embedding))].bfloat16()
        save_file({name: x.cpu().contiguous() for name, x in tensors.items()}, folder / FILE)
        sizes = {"vocab_size": len(embedding), **asdict(self.shape)}
        text = json.dumps({"format": 1, **sizes, **facts}, indent=2)
        (folder / "config.json").write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Adapter":
        """Read a folder; weights are float32."""
        config = json.loads((folder / "config.json").read_text("utf-8"))
        shape = AdapterShape(**{name: config[name] for name in AdapterShape.__dataclass_fields__})
        adapter, tensors = cls(shape), load_file(folder / FILE)
        tensors.pop(EXAMPLE_ROWS)
        adapter.load_state_dict(restored(tensors))
        return adapter
