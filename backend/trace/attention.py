"""What a trace keeps of every attention layer."""

import torch
from torch import Tensor

from tokenarium.backend.observe import AttentionCall, Recorder
from tokenarium.backend.observe.kept_attention import KEPT, Reading
from tokenarium.backend.trace.draft import Draft
from tokenarium.backend.trace.persistence import persistence
from tokenarium.kernels.attention_stats import (
    AttentionInput,
    AttentionStats,
    Grid,
    Want,
    attention_stats,
)
from tokenarium.kernels.attention_stats.learned_sinks import share_on_keys


class AttentionTrace(Recorder):
    """Fills a draft with each layer's attention statistics and key and value norms.

    With ``reading`` the queries and keys are kept for a closer look; a run that changes what the
    model computes must not give one.
    """

    def __init__(
        self,
        draft: Draft,
        tiles: int,
        forgetting: tuple[float, ...],
        reading: Reading | None = None,
    ) -> None:
        super().__init__()
        self._draft, self._reading = draft, reading
        length = draft.length
        self._want = Want(
            received=True,
            entropy=True,
            distance=True,
            columns=(0,),
            diagonals=(0, 1),
            decay=forgetting,
            segments=draft.runs,
            tiles=Grid.square(length, tiles),
        )

    def attend(self, call: AttentionCall) -> Tensor:
        """Attend as the model does, and keep the layer's statistics."""
        KEPT.put(self._reading, call)
        inputs = call.inputs()
        out, stats = attention_stats(inputs, self._want)
        entropy, distance, to_sink = _normalised(inputs, stats)
        assert stats.received is not None
        assert stats.diagonals is not None
        assert stats.columns is not None
        assert stats.segments is not None
        queries_after = torch.arange(self._draft.length, 0, -1, device=out.device)
        received = stats.received / queries_after
        lasting, by_chance = persistence(stats.segments, self._draft.length, call.window)
        self._draft.arrays["attention_window"][call.layer] = call.window or 0
        self._keep(
            call.layer,
            received_mass=received,
            sink_score=received[:, 0],
            first_mass=stats.columns[:, 0],
            decayed_mass=stats.decayed,
            persistence=lasting,
            persistence_chance=by_chance,
            attention_entropy_nats=entropy,
            attention_distance=distance,
            learned_sink_mass=to_sink,
            self_mass=stats.diagonals[:, 0].mean(-1),
            previous_mass=stats.diagonals[:, 1, 1:].mean(-1),
            attention_tiles_mean=stats.tiles_mean,
            attention_tiles_max=stats.tiles_max,
            key_norm=call.k[0].float().norm(dim=-1),
            value_norm=call.v[0].float().norm(dim=-1),
        )
        return out[None]

    def _keep(self, layer: int, **measured: Tensor | None) -> None:
        for name, values in measured.items():
            if values is not None:
                # Where another layer has more heads, the last rows of this one stay unknown.
                self._draft.keep(name, (layer, slice(len(values))), values)


def _normalised(inputs: AttentionInput, stats: AttentionStats) -> tuple[Tensor, Tensor, Tensor]:
    """Return entropy and distance of weights that sum to 1, and the learned sink's share, [H, T].

    With s = sum_j A[i, j], the entropy of A / s is H / s + ln s.
    """
    entropy, distance = stats.entropy, stats.distance
    assert entropy is not None
    assert distance is not None
    if inputs.sinks is None:
        return entropy, distance, torch.zeros_like(entropy)
    share = share_on_keys(inputs)
    return (entropy / share + share.log()).clamp(min=0), distance / share, 1 - share
