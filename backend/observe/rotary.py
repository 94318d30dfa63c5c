"""Rotary positions: how queries and keys turn, and turning them to other places."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tokenarium.kernels.rope_shift import rope_shift, rope_shift_together, rotated


@dataclass(frozen=True)
class Rotary:
    """How one layer's queries and keys turn with position (RoPE: Su et al., 2021,
    arXiv:2104.09864).

    The first 2 x len(frequencies) entries of a head turn in pairs: entry i with entry i + half, or
    with its neighbour where ``interleaved``.
    """

    module: nn.Module
    name: str
    interleaved: bool

    @property
    def frequencies(self) -> Tensor:
        """Angle per position; from a table of sines and cosines (GPT-J) that of position 1."""
        found: Tensor = getattr(self.module, self.name)
        return found if found.dim() == 1 else torch.atan2(*found[1].chunk(2))

    def turned(self, x: Tensor, by: Tensor) -> Tensor:
        """Return ``x`` [..., T, D] with vector t moved on by ``by`` [T] positions, in float32."""
        return rope_shift(x, by, self.frequencies, interleaved=self.interleaved)

    def turn_together(self, x: Tensor, by: int) -> None:
        """Move all vectors ``x`` [..., D] on by as many positions, in place."""
        rope_shift_together(x, by, self.frequencies, interleaved=self.interleaved)

    def averaged(self, x: Tensor, by: Tensor) -> Tensor:
        """Return the mean over ``by`` [n] of ``x`` [..., D] moved on by so many positions."""
        angle = by.to(torch.float32)[:, None] * self.frequencies.float()
        return rotated(x, angle.cos().mean(0), angle.sin().mean(0), self.interleaved)
