"""Queries and keys of recent runs, kept so that a closer look needs no forward pass."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.attention import AttentionCall

MOST_TOKENS = 4_096
MOST_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Reading:
    """A model reading exactly these tokens: what its queries and keys depend on."""

    fingerprint: str
    format: str
    """Number format and device; another gives other rounding."""
    digest: str

    @staticmethod
    def of(loaded: LoadedModel, ids: Sequence[int]) -> "Reading | None":
        """Return the identity of ``ids`` read by ``loaded``; None above ``MOST_TOKENS``."""
        if len(ids) > MOST_TOKENS:
            return None
        digest = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
        return Reading(loaded.fingerprint, f"{loaded.dtype} {loaded.device}", digest)


class KeptAttention:
    """Attention inputs by reading and layer; the least recently used go first. Thread-safe."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._calls: OrderedDict[tuple[Reading, int], AttentionCall] = OrderedDict()
        self._bytes = 0

    def put(self, reading: Reading | None, call: AttentionCall) -> None:
        """Keep the queries and keys of a layer, in the model's number format.

        A mask of one entry per query and key would be as large as what is avoided here, so a layer
        that needs one is not kept.
        """
        if reading is None or call.mask is not None or call.key_bias is not None:
            return
        q, k = _own(call.q), _own(call.k)
        kept = AttentionCall(
            layer=call.layer,
            q=q,
            k=k,
            v=k,
            scaling=call.scaling,
            offset=call.offset,
            window=call.window,
            softcap=call.softcap,
            sinks=call.sinks,
        )
        with self._lock:
            self._drop((reading, call.layer))
            self._calls[reading, call.layer] = kept
            self._bytes += _size(kept)
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._calls)))

    def get(self, reading: Reading | None, layer: int) -> AttentionCall | None:
        """Return what is kept of a layer; values shape no map, so the keys stand in for them."""
        if reading is None:
            return None
        with self._lock:
            call = self._calls.get((reading, layer))
            if call is not None:
                self._calls.move_to_end((reading, layer))
            return call

    @property
    def held_bytes(self) -> int:
        """Bytes of queries and keys kept."""
        return self._bytes

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._calls.clear()
            self._bytes = 0

    def _drop(self, key: tuple[Reading, int]) -> None:
        call = self._calls.pop(key, None)
        if call is not None:
            self._bytes -= _size(call)


KEPT = KeptAttention()
"""One for the process, so that one bound holds for all models."""


def _own(tensor: Tensor) -> Tensor:
    """Return the tensor without the rest of a storage it may be a view of."""
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor


def _size(call: AttentionCall) -> int:
    return call.q.nbytes + call.k.nbytes
