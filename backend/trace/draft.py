"""A trace while it is being measured: arrays that fill up, and the result they make so far."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.models.text import Tokens
from tokenarium.backend.trace.copies import Copies
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.result import TraceResult

TOP_DIMS = 3
RUNS = 8

Spell = Callable[[Sequence[int]], tuple[str, ...]]


class Draft:
    """The arrays of one ``TraceResult``, NaN or -1 where nothing is measured yet."""

    def __init__(
        self, request: TraceRequest, tokens: Tokens, layers: int, top_k: int, context: int
    ) -> None:
        length = len(tokens.ids)
        self.layers, self.layers_done = layers, 0
        self.notes: list[str] = list(tokens.notes)
        self._request, self._tokens, self._context = request, tokens, context
        self._spelled: dict[int, str] = {-1: ""}
        self._copies = Copies()
        self.arrays: dict[str, NDArray[Any]] = {
            "surprisal_nats": _unknown(length),
            "entropy_nats": _unknown(length),
            "varentropy_nats2": _unknown(length),
            "rank": _no_id(length),
            "top_ids": _no_id(length, top_k),
            "top_probs": _unknown(length, top_k),
            "residual_norm": _unknown(layers + 1, length),
            "residual_median": _unknown(layers + 1, length),
            "residual_top_dims": _no_id(layers + 1, length, TOP_DIMS),
            "residual_top_values": _unknown(layers + 1, length, TOP_DIMS),
            "attention_window": np.zeros(layers, np.int32),
        }
        if request.logit_lens:
            self.arrays["lens_ids"] = _no_id(layers + 1, length)
            self.arrays["lens_entropy_nats"] = _unknown(layers + 1, length)
            self.arrays["lens_kl_nats"] = _unknown(layers + 1, length)

    @property
    def length(self) -> int:
        """T, tokens."""
        return len(self._tokens.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays.values())

    @property
    def runs(self) -> int:
        """Runs of queries whose pivotal tokens are compared."""
        return min(RUNS, self.length)

    def open_layers(self, heads: int, groups: int) -> None:
        """Make room for the attention of ``heads`` query and ``groups`` key-value heads."""
        side = min(self.length, self._request.tiles)
        by_head = (self.layers, heads)
        per_token = ("received_mass", "first_mass", "attention_entropy_nats", "attention_distance")
        for name in (*per_token, "learned_sink_mass"):
            self.arrays[name] = _unknown(*by_head, self.length)
        factors = len(self._request.forgetting)
        self.arrays["decayed_mass"] = _unknown(*by_head, factors, self.length)
        for name in ("persistence", "persistence_chance"):
            self.arrays[name] = _unknown(*by_head, max(0, self.runs - 1))
        for name in ("sink_score", "previous_mass", "self_mass"):
            self.arrays[name] = _unknown(*by_head)
        for name in ("attention_tiles_mean", "attention_tiles_max"):
            self.arrays[name] = _unknown(*by_head, side, side)
        for name in ("key_norm", "value_norm"):
            self.arrays[name] = _unknown(self.layers, groups, self.length)

    def keep_residual(self, layer: int, residual: torch.Tensor) -> None:
        """Measure the residual stream [T, D] entering ``layer``; entry L leaves the last."""
        stream = residual.float()
        size = stream.abs()
        dims = size.topk(min(TOP_DIMS, size.shape[1])).indices
        kept = (..., slice(dims.shape[1]))
        self.keep("residual_norm", layer, stream.norm(dim=-1))
        self.keep("residual_median", layer, _medians(size))
        self.keep("residual_top_dims", (layer, *kept), dims)
        self.keep("residual_top_values", (layer, *kept), stream.gather(1, dims))

    def keep(self, name: str, place: Any, values: torch.Tensor) -> None:
        """Put measured values where ``place``, integers and slices, points in an array.

        From a device they come at the next ``result``.
        """
        self._copies.put(self.arrays[name][place], values)

    def result(self, spell: Spell, finished: bool) -> TraceResult:
        """Return what is known so far: in arrays of its own, or at the end in those of the draft.

        Args:
            spell: decodes each id alone.
            finished: whether nothing will be added any more.
        """
        self._copies.finish()
        arrays = {name: a if finished else a.copy() for name, a in self.arrays.items()}
        threshold = self._request.sink_threshold
        done = arrays["sink_score"][: self.layers_done]
        lens: dict[str, Any] = {"lens_ids": None, "lens_entropy_nats": None, "lens_kl_nats": None}
        lens_ids = arrays.get("lens_ids")
        return TraceResult(
            **{
                **lens,
                **arrays,
                "token_ids": np.asarray(self._tokens.ids, dtype=np.int32),
                "token_text": self._tokens.text,
                "offsets": self._tokens.offsets,
                "special": self._tokens.special,
                "special_id": self._tokens.control,
                "text": self._tokens.source,
                **self._tokens.turns(),
                "top_text": self._texts(arrays["top_ids"], spell),
                "lens_text": None if lens_ids is None else self._texts(lens_ids, spell),
                "sink_rate": _share_above(done, threshold),
                "sink_threshold": threshold,
                "forgetting": self._request.forgetting,
                "context": self._context,
                "dropped_tokens": self._tokens.dropped,
                "layers_done": self.layers_done,
                "notes": tuple(self.notes),
            }
        )

    def _texts(self, ids: NDArray[np.int32], spell: Spell) -> tuple[tuple[str, ...], ...]:
        new = [number for number in np.unique(ids).tolist() if number not in self._spelled]
        self._spelled.update(zip(new, spell(new), strict=True))
        rows: Iterable[list[int]] = ids.tolist()
        return tuple(tuple(map(self._spelled.__getitem__, row)) for row in rows)


def _share_above(values: NDArray[np.float32], threshold: float) -> float:
    """Return the share of what is known that lies above ``threshold``; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float((known > threshold).mean()) if known.size else float("nan")


def _medians(rows: torch.Tensor) -> torch.Tensor:
    """Return the median of each row [T, D], the lower of the middle two."""
    if rows.device.type != "cpu":
        return rows.median(-1).values
    middle = (rows.shape[1] - 1) // 2  # NumPy's selection takes a third of PyTorch's time
    return torch.from_numpy(np.partition(rows.numpy(), middle, axis=-1)[:, middle])


def _unknown(*shape: int) -> NDArray[np.float32]:
    return np.full(shape, np.nan, dtype=np.float32)


def _no_id(*shape: int) -> NDArray[np.int32]:
    return np.full(shape, -1, dtype=np.int32)
