"""Where kept keys stand: where they stood in the text, moved together, or within a cap.

Rotary attention depends on distances alone, so that moving every key up to the newest token gives
what StreamingLLM computes by counting positions in the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.kept_indices import AllBut
from tokenarium.backend.cache.terms import Positions
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.rotary import Rotary


@dataclass(frozen=True)
class Rerotation:
    """Turns keys to the places that a position mode gives them; ``placed`` says where each is."""

    mode: Positions
    rotary: tuple[Rotary | None, ...]
    cap: int

    @staticmethod
    def of(loaded: LoadedModel, mode: Positions, cap: int | None = None) -> "Rerotation":
        """Return the mode for a model.

        Raises:
            ValueError: if keys must move and the model does not place them by rotation.
        """
        rotary = () if mode == "original" else capabilities.rotary(loaded)
        return Rerotation(mode, rotary, loaded.context - 1 if cap is None else cap)

    def settle(
        self, entries: Entries, layer: int, newest: int, kept: Sequence[Tensor] = ()
    ) -> None:
        """Move keys together up to position ``newest`` after an eviction: ranks are distances.

        ``kept`` is what the eviction kept; where it dropped one entry, those before it move by one.
        """
        if self.mode != "rolled":
            return
        if isinstance(kept, AllBut) and self._closed(entries, layer, kept):
            return
        device = entries.buffers["keys"].device
        first = newest + 1 - torch.tensor(entries.counts, device=device)
        rank = torch.arange(max(entries.counts), device=device)
        self._turn(entries, layer, first[:, None] + rank - self._placed(entries))

    def _closed(self, entries: Entries, layer: int, kept: AllBut) -> bool:
        """Close a gap that is the same in every head, in place; False where that cannot be."""
        rows = {own[0] for own in kept.gone.tolist()}
        keys, rotary = entries.buffers["keys"], self.rotary[layer]
        moved = "moved" in entries.buffers
        if len(rows) > 1 or not (moved and entries.aligned()) or keys.dtype != torch.float32:
            return False
        if rotary is not None:
            before = slice(0, rows.pop())
            rotary.turn_together(entries.rows("keys")[:, before], 1)
            entries.rows("moved")[:, before] += 1
        return True

    def before(self, entries: Entries, layer: int, newest: int) -> None:
        """Move keys that are further than the cap from the newest token up to it."""
        if self.mode != "capped":
            return
        self._turn(entries, layer, (newest - self.cap - self._placed(entries)).clamp(min=0))

    @staticmethod
    def _placed(entries: Entries) -> Tensor:
        """Return [G, S] where each key is turned to: its position and what it was moved by."""
        if "moved" not in entries.buffers:
            entries.put("moved", torch.zeros_like(entries.rows("positions"), dtype=torch.float32))
        return entries.rows("positions") + entries.rows("moved").long()

    def _turn(self, entries: Entries, layer: int, by: Tensor) -> None:
        """Turn keys on by [G, S] positions."""
        rotary = self.rotary[layer]
        if rotary is None:
            return
        if not entries.even:
            by = by.where(entries.present(), 0)
        far = by.nonzero()
        if not len(far):
            return
        starts = torch.tensor(entries.starts, device=by.device)
        at = starts[far[:, 0]] + far[:, 1]
        keys, moved = entries.buffers["keys"], entries.buffers["moved"]
        step = by[far[:, 0], far[:, 1]]
        before = moved[at]
        moved[at] = before + step
        if keys.dtype == torch.float32:
            keys[at] = rotary.turned(keys[at], step)
            return
        # In half precision, turning a key step by step would round it every time.
        if "unmoved" not in entries.buffers:
            entries.buffers["unmoved"] = torch.zeros_like(keys)
        original = entries.buffers["unmoved"]
        source = keys[at].where((before == 0)[:, None], original[at])
        original[at] = source
        keys[at] = rotary.turned(source, before.long() + step).to(keys.dtype)
