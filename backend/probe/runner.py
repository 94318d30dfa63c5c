"""Run a probe: repeated random tokens, one pass, diagonals of every head's attention."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.ordinary import leading_bos, ordinary_tokens
from tokenarium.backend.models.text import decode_each
from tokenarium.backend.models.uneven_layers import refuse_uneven
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.backend.probe.chance import copies_before, even_attention, mean_at
from tokenarium.backend.probe.request import ProbeRequest
from tokenarium.backend.probe.result import ProbeResult
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.kernels.attention_stats import Want, attention_stats


@torch.inference_mode()
def probe(
    request: ProbeRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> ProbeResult:
    """Measure which heads find earlier copies of random tokens.

    Args:
        limit: most tokens that may be read.
        emit: receives progress.
        cancel: checked in every layer.
    Raises: ValueError where the copies do not fit or the vocabulary is too small; Cancelled.
    """
    cancel.check()
    refuse_uneven(loaded, "a probe of repeated tokens")
    bos = leading_bos(loaded)
    _refuse_unless_fits(request, len(bos), min(limit, loaded.context))
    ids = bos + _random_tokens(request, loaded) * request.repeats
    progress = ProgressReporter(emit, cancel)
    watch = _Diagonals(request, len(bos), len(ids), len(loaded.layers), progress)
    with recording(watch):
        tokens = torch.tensor([ids], device=loaded.device)
        loaded.body(input_ids=tokens, use_cache=False)
    return ProbeResult(
        token_ids=np.asarray(ids, np.int32),
        token_text=() if loaded.tokenizer is None else decode_each(loaded, ids),
        period=request.period,
        repeats=request.repeats,
        begins_with_bos=bool(bos),
        **{name: np.stack(rows) for name, rows in watch.scores.items()},
        **{name: np.asarray(row, np.float32) for name, row in watch.chances.items()},
    )


class _Diagonals(Recorder):
    """Takes each head's weights at the distances where copies stand."""

    def __init__(
        self,
        request: ProbeRequest,
        first: int,
        length: int,
        layers: int,
        progress: ProgressReporter,
    ) -> None:
        super().__init__()
        self._layers, self._progress = layers, progress
        self._copies = [k * request.period for k in range(1, request.repeats)]
        wanted = {0, 1, *self._copies, *(distance - 1 for distance in self._copies)}
        self._at = {distance: row for row, distance in enumerate(sorted(wanted))}
        self._before = copies_before(first, request.period, length)
        self._want = Want(distance=True, columns=(0,), diagonals=tuple(self._at))
        self.scores: dict[str, list[NDArray[np.float32]]] = {}
        self.chances: dict[str, list[float]] = {}

    def attend(self, call: AttentionCall) -> Tensor:
        """Attend as the model does, and keep the layer's scores."""
        self._progress.report("reading layers", call.layer, self._layers)
        out, stats = attention_stats(call.inputs(), self._want)
        assert stats.diagonals is not None
        assert stats.columns is not None
        assert stats.distance is not None
        diagonals = stats.diagonals.cpu().numpy()
        self._keep(
            self.scores,
            echo=self._mean_over_copies(diagonals, 0),
            induction=self._mean_over_copies(diagonals, 1),
            previous_mass=diagonals[:, self._at[1], 1:].mean(-1),
            self_mass=diagonals[:, self._at[0]].mean(-1),
            sink_score=stats.columns[:, 0].mean(-1).cpu().numpy(),
            attention_distance=stats.distance.mean(-1).cpu().numpy(),
        )
        self._keep(self.chances, **self._chance(call.window))
        return out[None]

    def _mean_over_copies(self, diagonals: NDArray[np.float32], later: int) -> NDArray[np.float32]:
        """Return [H] the mean weight on keys ``later`` tokens after the earlier copies."""
        total = np.zeros_like(diagonals[:, 0])
        for number, distance in enumerate(self._copies, 1):
            weights = diagonals[:, self._at[distance - later]]
            total += np.where(self._before >= number, weights, 0)
        mean: NDArray[np.float32] = total[:, self._before > 0].mean(-1)
        return mean

    def _chance(self, window: int | None) -> dict[str, float]:
        length = len(self._before)
        position, every = np.arange(length), np.ones(length, np.bool_)
        later = self._before > 0

        def copies(after: int) -> list[NDArray[np.int_]]:
            return [
                np.where(self._before >= number, distance - after, -1)
                for number, distance in enumerate(self._copies, 1)
            ]

        seen = 1 / even_attention(length, window)
        return {
            "echo_chance": mean_at(copies(0), later, window),
            "induction_chance": mean_at(copies(1), later, window),
            "previous_chance": mean_at([np.ones_like(position)], position > 0, window),
            "self_chance": mean_at([np.zeros_like(position)], every, window),
            "sink_chance": mean_at([position], every, window),
            "distance_chance": float((seen - 1).mean() / 2),
        }

    def _keep(self, kept: dict[str, list[Any]], **measured: Any) -> None:
        for name, value in measured.items():
            kept.setdefault(name, []).append(value)


def _refuse_unless_fits(request: ProbeRequest, before: int, limit: int) -> None:
    length = before + request.period * request.repeats
    if length <= limit:
        return
    most = (limit - before) // request.repeats
    remedy = f"choose period={most} or less" if most >= 4 else "choose another model"
    raise ValueError(
        f"period={request.period} read {request.repeats} times is {length} tokens, the limit is "
        f"{limit}: {remedy}, or fewer repeats"
    )


def _random_tokens(request: ProbeRequest, loaded: LoadedModel) -> list[int]:
    """Return distinct ordinary tokens, in an order drawn with the request's seed."""
    ordinary = ordinary_tokens(loaded)
    if len(ordinary) < request.period:
        raise ValueError(
            f"period={request.period} is above the {len(ordinary)} ordinary tokens of "
            f"{loaded.name}: choose at most {len(ordinary)}"
        )
    draw = np.random.default_rng(request.seed).choice(ordinary, request.period, replace=False)
    return [int(key) for key in draw]
