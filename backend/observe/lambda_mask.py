"""A lambda-shaped attention mask: the first tokens and the latest, no distance above a cap."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.layer import Change, Layer, Reweigh
from tokenarium.backend.observe.rotary import Rotary
from tokenarium.kernels.attention_stats import Rows

BLOCK = 256
"""Queries that are attended over at once: their windows overlap, few keys are read twice."""
BLOCK_WEIGHTS = 1 << 22


@dataclass(frozen=True)
class LambdaMask:
    """Query i sees key j if j < first or i - j < last; a distance above the cap counts as the cap.

    Queries turned to position ``cap`` against keys turned back to 0 give the logits at that
    distance.

    Paper: Han et al., 2023, arXiv:2308.16137.
    """

    first: int
    """First tokens that all later ones see."""
    last: int
    """Latest tokens that each sees, itself included."""
    cap: int
    """Largest distance in tokens."""

    def changes(self, loaded: LoadedModel) -> dict[int, Change]:
        """Return the change of all heads in every layer, each with its own rotation."""
        return {
            number: self.change(rotary) for number, rotary in enumerate(capabilities.rotary(loaded))
        }

    def change(self, rotary: Rotary | None) -> Change:
        """Return the change of a layer; without rotation no distance is capped."""
        # With the cap below the window, latest tokens can be farther than it too.
        near = rotary is None or self.cap >= self.last - 1
        return Change(self.hiding(rotary), whole=partial(self._attend, rotary) if near else None)

    def hiding(self, rotary: Rotary | None) -> Callable[[Layer], Reweigh]:
        """Return how a layer's rows change."""
        cap = self.cap

        def begin(layer: Layer) -> Reweigh:
            keys = layer.keys
            # With the cap at or above the window, only the first tokens can be farther than it.
            far = min(len(keys), self.first) if cap >= self.last - 1 else len(keys)
            still = None if rotary is None else rotary.turned(layer.k[:, :far], -keys[:far])

            def reweigh(rows: Rows) -> Tensor:
                distance = layer.distance(rows)
                logits = rows.logits
                if rotary is not None and still is not None:
                    q = layer.q[:, rows.start : rows.stop]
                    at_cap = rotary.turned(q, cap - layer.positions(rows))
                    capped = layer.logits(at_cap, still[:, : distance.shape[-1]])
                    near = logits[..., :far]
                    near.copy_(capped.where(distance[:, :far] > cap, near))
                seen = (distance < self.last) | (keys[: distance.shape[-1]] < self.first)
                hidden = ~(layer.visible(rows) & seen)
                return layer.softmax(logits.masked_fill(hidden, float("-inf")))

            return reweigh

        return begin

    def _attend(self, rotary: Rotary | None, layer: Layer, step: Callable[[], None]) -> Tensor:
        """Return the layer's output [T, H, Dv]; no key is touched that no query of a block sees."""
        cap, (heads, length, _) = self.cap, layer.q.shape
        far = min(len(layer.keys), self.first)
        still = None if rotary is None else rotary.turned(layer.k[:, :far], -layer.keys[:far])
        out = layer.q.new_empty(length, heads, layer.v.shape[2])
        block = max(16, min(BLOCK, BLOCK_WEIGHTS // (heads * (far + self.last + BLOCK))))
        for start in range(0, length, block):
            step()
            stop = min(start + block, length)
            at = torch.arange(start, stop, device=out.device) + layer.first
            latest = slice(max(far, layer.first + start - self.last + 1), layer.first + stop)
            k, v = (torch.cat((x[:, :far], x[:, latest]), 1).float() for x in (layer.k, layer.v))
            place = torch.cat((layer.keys[:far], layer.keys[latest]))
            distance, q = at[:, None] - place, layer.q[:, start:stop]
            logits = layer.logits(q, k)
            if rotary is not None and still is not None:
                capped = layer.logits(rotary.turned(q, cap - at), still)
                own = logits[..., :far]
                own.copy_(capped.where(distance[:, :far] > cap, own))
            hidden = (distance < 0) | ((distance >= self.last) & (place >= self.first))
            if layer.window is not None:
                hidden |= distance >= layer.window
            weights = layer.softmax(logits.masked_fill_(hidden, float("-inf")))
            read = weights.view(len(v), -1, len(place)) @ v
            out[start:stop] = read.view(heads, stop - start, -1).transpose(0, 1)
        return out
