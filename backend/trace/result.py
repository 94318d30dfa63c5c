"""The result of a trace; what it measures is declared by subject in the modules it inherits from.

L layers, H query heads, T tokens.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokenarium.backend.runs.result import quantity
from tokenarium.backend.trace.attention_quantities import SINK, AttentionQuantities
from tokenarium.backend.trace.residual_quantities import ResidualQuantities
from tokenarium.backend.trace.token_quantities import TokenQuantities


@dataclass(frozen=True)
class TraceResult(ResidualQuantities, AttentionQuantities, TokenQuantities):
    """Everything measured while a model reads one text once."""

    schema_version: ClassVar[int] = 4
    oldest_readable: ClassVar[int] = 2

    sink_rate: float = quantity(
        "sink rate",
        "",
        "",
        "share of heads whose sink score is above the threshold",
        "How many heads park their attention on the first token.",
        SINK,
    )
    sink_threshold: float = quantity(
        "sink threshold", "", "", "as asked (0.3 in the paper)", "Above this a head is a sink head."
    )
    attention_window: NDArray[np.int32] = quantity(
        "attention window",
        "L",
        "tokens",
        "most keys a query of layer l sees, itself included; 0 where it sees all",
        "How far back this layer can look.",
    )
    context: int = quantity(
        "trained context",
        "",
        "tokens",
        "positions the model was made for; tokens after it were never trained",
        "From here on the model is out of its depth.",
    )
    dropped_tokens: int = quantity(
        "dropped tokens",
        "",
        "tokens",
        "tokens cut because the text was longer than the limit and you chose to cut",
        "How much of the text was left out.",
    )
    layers_done: int = quantity(
        "layers done",
        "",
        "",
        "layers measured; below L only in a partial result, whose other entries are NaN or -1",
        "How far a cancelled run came.",
    )
    notes: tuple[str, ...] = quantity(
        "notes", "", "", "what was cut, replaced or measured another way", "What to know."
    )

    @property
    def length(self) -> int:
        """T, tokens."""
        return int(self.token_ids.shape[0])

    @property
    def layers(self) -> int:
        """L."""
        return int(self.sink_score.shape[0])

    @property
    def heads(self) -> int:
        """H, query heads."""
        return int(self.sink_score.shape[1])

    def received_by_token(self, layers: int | None = None) -> NDArray[np.float32]:
        """Return [T] ``received_mass``, the mean over the heads that the first ``layers`` have."""
        mass, known = self.received_mass[:layers], np.isfinite(self.sink_score[:layers])
        if known.any() and not known.all():
            return np.asarray(mass[known].mean(0))
        return np.asarray(mass.mean((0, 1)))

    def kv_head(self, layer: int, head: int) -> int:
        """Return the KV head whose keys and values a query head reads; layers may differ in both.

        Of a head that the layer does not have, all numbers are NaN.
        """
        # Before a layer was measured nothing of it is known: as if it had what the largest has.
        heads = int(np.isfinite(self.sink_score[layer]).sum()) or self.heads
        groups = int(np.isfinite(self.value_norm[layer, :, 0]).sum()) or len(self.value_norm[layer])
        return int(min(head * groups // heads, self.value_norm.shape[1] - 1))

    @property
    def has_learned_sinks(self) -> bool:
        """Whether keys receive less than one weight a query in some head: the rest goes to none."""
        received = self.received_mass.astype(np.float64)
        queries = self.length - np.arange(self.length)
        return bool(((received * queries).sum(-1) / self.length < 1 - 1e-3).any())

    @property
    def learned_sink_measured(self) -> bool:
        """Whether some attention was measured to go to a learned sink."""
        mass = self.learned_sink_mass
        return mass is not None and bool((mass > 0).any())

    def tables(self) -> dict[str, pa.Table]:
        """Return ``tokens`` (a row per token) and ``head_metrics`` (a row per layer and head)."""
        layer, head = np.indices(self.sink_score.shape, dtype=np.int32)
        tokens: dict[str, Any] = {
            "position": np.arange(self.length, dtype=np.int32),
            "token_id": self.token_ids,
            "token": list(self.token_text),
            "char_start": self.offsets[:, 0],
            "char_stop": self.offsets[:, 1],
            "surprisal_nats": self.surprisal_nats,
            "entropy_nats": self.entropy_nats,
            "varentropy_nats2": self.varentropy_nats2,
            "token_rank": self.rank,
            "received_mass": self.received_by_token(),
            "residual_norm": self.residual_norm[-1],
            **self._turns(),
        }
        heads: dict[str, Any] = {
            "layer": layer.ravel(),
            "head": head.ravel(),
            "sink_score": self.sink_score.ravel(),
            "previous_mass": self.previous_mass.ravel(),
            "self_mass": self.self_mass.ravel(),
            "attention_entropy_nats": self.attention_entropy_nats.mean(-1).ravel(),
            "attention_distance": self.attention_distance.mean(-1).ravel(),
        }
        return {"tokens": pa.table(tokens), "head_metrics": pa.table(heads)}

    def _turns(self) -> dict[str, Any]:
        """Return the turn of each token and who says it; nothing for a trace of before turns."""
        if self.turn is None or self.turn_role is None:
            return {}
        roles = [self.turn_role[turn] if turn >= 0 else None for turn in self.turn]
        return {"turn": self.turn, "turn_role": pa.array(roles, pa.string())}
