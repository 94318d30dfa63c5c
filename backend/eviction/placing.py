"""Where kept keys stand: where they stood in the text, moved together, or within a cap.

Rotary attention depends on distances alone, so that moving every key up to the newest token gives
what StreamingLLM computes by counting positions in the cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from backend.eviction.entries import Entries
from backend.eviction.policy import Positions
from backend.interventions.rotary import Rotary, rotary_layers
from backend.models.loaded import LoadedModel


@dataclass(frozen=True)
class Placing:
    """Turns keys to the places that a position mode gives them; ``placed`` says where each is."""

    mode: Positions
    rotary: tuple[Rotary | None, ...]
    cap: int

    @staticmethod
    def of(loaded: LoadedModel, mode: Positions, cap: int | None = None) -> "Placing":
        """Return the mode for a model.

        Raises:
            ValueError: if keys must move and the model does not place them by rotation.
        """
        rotary = () if mode == "original" else rotary_layers(loaded)
        return Placing(mode, rotary, loaded.context - 1 if cap is None else cap)

    def settle(self, entries: Entries, layer: int) -> None:
        """Move keys together after an eviction, so that ranks are distances."""
        if self.mode != "rolled":
            return
        for g, count in enumerate(entries.counts):
            newest = int(entries.head("positions", g)[-1])
            rank = torch.arange(count, device=entries.buffers["keys"].device)
            self._turn(entries, g, layer, newest - (count - 1) + rank)

    def before(self, entries: Entries, layer: int, newest: int) -> None:
        """Move keys that are further than the cap from the newest token up to it."""
        if self.mode != "capped":
            return
        for g in range(entries.groups):
            placed = self._placed(entries, g)
            self._turn(entries, g, layer, placed.clamp(min=newest - self.cap))

    def _placed(self, entries: Entries, g: int) -> Tensor:
        """Return where each key of a head is turned to: its position and what it was moved by."""
        if "moved" not in entries.buffers:
            entries.put("moved", torch.zeros_like(entries.rows("positions"), dtype=torch.float32))
        return entries.head("positions", g) + entries.head("moved", g).long()

    def _turn(self, entries: Entries, g: int, layer: int, wanted: Tensor) -> None:
        rotary = self.rotary[layer]
        by = wanted - self._placed(entries, g)
        far = by.nonzero()[:, 0]
        if rotary is None or not len(far):
            return
        keys = entries.head("keys", g)
        keys[far] = rotary.turned(keys[far], by[far]).to(keys.dtype)
        entries.head("moved", g)[far] += by[far]
