"""The draft head: one Llama layer over the target's last hidden state and the next token.

With h_p the target's normed last hidden state at position p and e(t) the target's embedding,
``fc([norm h_p, norm e(t_{p+1})])`` goes through one layer and a norm to g_p, which stands for
h_{p+1}; the target's own unembedding rows of a reduced vocabulary then guess token t_{p+2}. Later
guesses of a chain read g in place of h (Li et al., 2024, arXiv:2401.15077).
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from tokenarium.backend.pretraining.draft_head.eight_bits import in_eight_bits, restored
from tokenarium.backend.pretraining.draft_head.target import Target, rotary, rotate

EXAMPLE_ROWS = "target_rows"
"""Name in a head's file of the target's embeddings of ``example_ids``, [16, d]: what a head was
trained with is known again by them."""


def example_ids(vocab_size: int) -> torch.Tensor:
    """Return 16 ids, evenly over a vocabulary."""
    return torch.linspace(0, vocab_size - 1, 16).long()


@dataclass(frozen=True)
class Shape:
    """Sizes of a head: those of one layer of its target, apart from the vocabulary."""

    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    rms_norm_eps: float
    rope_theta: float = 10_000.0
    max_position_embeddings: int = 8192

    @classmethod
    def of(cls, target: Target) -> "Shape":
        return cls(
            target.width,
            target.heads,
            target.groups,
            target.size,
            int(target.config["intermediate_size"]),
            target.eps,
            max_position_embeddings=int(target.config["max_position_embeddings"]),
        )


class DraftHead(nn.Module):
    """See the module. Parameters are float32 while training; a file has bfloat16 or eight bits."""

    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, d, m = shape, shape.hidden_size, shape.intermediate_size
        queries = shape.num_attention_heads * shape.head_dim
        both = queries + 2 * shape.num_key_value_heads * shape.head_dim
        self.hidden_norm, self.embedding_norm = _gain(d), _gain(d)
        self.fc = nn.Linear(2 * d, d, bias=False)
        self.attention_norm, self.mlp_norm, self.norm = _gain(d), _gain(d), _gain(d)
        self.qkv, self.out = nn.Linear(d, both, bias=False), nn.Linear(queries, d, bias=False)
        self.gate_up, self.down = nn.Linear(d, 2 * m, bias=False), nn.Linear(m, d, bias=False)
        for linear in (self.fc, self.qkv, self.gate_up):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)
        cos, sin = rotary(shape.max_position_embeddings, shape.head_dim, shape.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def normed(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x.float(), x.shape[-1:], gain.float(), self.shape.rms_norm_eps)

    def inputs(self, hidden: torch.Tensor, embedded: torch.Tensor) -> torch.Tensor:
        """What ``fc`` reads, [..., 2 d] in float32."""
        parts = self.normed(hidden, self.hidden_norm), self.normed(embedded, self.embedding_norm)
        return torch.cat(parts, -1)

    def unroll(
        self, hidden: torch.Tensor, embedded: torch.Tensor, steps: int
    ) -> list[torch.Tensor]:
        """Guess h_{p+1} at every position at once, as the 1st to ``steps``-th guess of a chain.

        Args:
            hidden: [B, T, d]; the target's at p.
            embedded: [B, T, d]; embeddings of the tokens at p + 1.
        Returns: per step s (from 0) g [B, T, d]: at p it has read target states up to p - s only,
            its own guesses after that. Positions below s read zeros and mean nothing.
        """
        length = hidden.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        feature, keys, values, found = hidden, [], [], []
        for step in range(steps):
            x = self.fc(self.inputs(feature, embedded))
            q, k, v = self.project(x, cos, sin)
            keys.append(k)
            values.append(v)
            mask = chain_mask(length, step, x.device)
            mixed = functional.scaled_dot_product_attention(
                q,
                self._spread(torch.cat(keys, 2)),
                self._spread(torch.cat(values, 2)),
                attn_mask=mask if step else None,
                is_causal=step == 0,
            )
            found.append(self.finish(x, mixed))
            feature = functional.pad(found[-1], (0, 0, 1, 0))[:, :length]
        return found

    def _spread(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(
            self.shape.num_attention_heads // self.shape.num_key_value_heads, 1
        )

    def project(
        self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries [B, H, T, D], keys and values [B, G, T, D] of what ``fc`` returned, x [B, T, d].

        ``cos`` and ``sin`` [T, D] are of the rows' positions.
        """
        y = self.qkv(self.normed(x, self.attention_norm))
        y = y.view(*x.shape[:2], -1, self.shape.head_dim).transpose(1, 2)
        groups = self.shape.num_key_value_heads
        turned = rotate(y[:, :-groups], cos, sin).to(y.dtype)
        return turned[:, :-groups], turned[:, -groups:], y[:, -groups:]

    def finish(self, x: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """The guess [B, T, d] from x [B, T, d] and attention's outputs [B, H, T, D]."""
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.normed(x, self.mlp_norm)).chunk(2, -1)
        return self.normed(x + self.down(functional.silu(gate) * up), self.norm)

    def save(
        self,
        folder: Path,
        vocabulary: torch.Tensor,
        embedding: torch.Tensor,
        facts: Mapping[str, object],
    ) -> None:
        """Write ``head.safetensors`` (bfloat16, and the ids [N] as int32) and ``config.json``.

        ``embedding`` [V, d] is the target's.
        """
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: x.detach().cpu().bfloat16() for name, x in self.state_dict().items()}
        tensors["vocabulary"] = vocabulary.cpu().int()
        examples = embedding.detach()[example_ids(len(embedding)).to(embedding.device)]
        tensors[EXAMPLE_ROWS] = examples.cpu().bfloat16()
        save_file(
            {name: x.contiguous() for name, x in tensors.items()}, folder / "head.safetensors"
        )
        sizes = {"vocab_size": len(embedding), **asdict(self.shape)}
        text = json.dumps({"format": 2, **sizes, **facts}, indent=2)
        (folder / "config.json").write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, folder: Path) -> tuple["DraftHead", torch.Tensor]:
        """Read a folder; return the head in float32 and its vocabulary [N]."""
        config = json.loads((folder / "config.json").read_text("utf-8"))
        head = cls(Shape(**{name: config[name] for name in Shape.__dataclass_fields__}))
        tensors = load_file(folder / "head.safetensors")
        vocabulary = tensors.pop("vocabulary").long()
        tensors.pop(EXAMPLE_ROWS, None)
        head.load_state_dict(restored(tensors))
        return head, vocabulary


def shrink(folder: Path, out: Path) -> None:
    """Copy a head's folder with its matrices in eight bits; what else it holds stays.

    Raises: FileExistsError if ``out`` is there already.
    """
    shutil.copytree(folder, out)
    tensors = load_file(out / "head.safetensors")
    kept = {name: tensors.pop(name) for name in ("vocabulary", EXAMPLE_ROWS)}
    save_file(in_eight_bits(tensors) | kept, out / "head.safetensors")
    config = json.loads((out / "config.json").read_text("utf-8"))
    text = json.dumps(config | {"format": 3}, indent=2)
    (out / "config.json").write_text(text + "\n", "utf-8")


def chain_mask(length: int, step: int, device: torch.device) -> torch.Tensor:
    """Which keys [T, (step + 1) T] guess ``step`` at p may see, True where seen.

    Keys from target states up to p - step, then of every earlier guess m the one key on the way:
    that of position p - (step - m).
    """
    place = torch.arange(length, device=device)
    back = place[:, None] - place
    parts = [back >= step, *(back == step - m for m in range(1, step + 1))]
    return torch.cat(parts, 1)


def _gain(width: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(width))
