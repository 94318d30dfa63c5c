"""Stored runs as JSON that is written and compressed once: opening one again sends bytes."""

import gzip
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

MOST_BYTES = 64 * 2**20
"""Most that compressed runs hold together."""
_LEVEL = 3
"""Of compression: half the time of the usual level, for a tenth more bytes."""
Key = tuple[str, datetime, str]
"""Id, time of creation, and which JSON of it."""


@dataclass(frozen=True)
class Packed:
    """A stored run as JSON, compressed by gzip."""

    data: bytes
    tag: str
    """Of exactly these numbers, as an ETag."""

    @property
    def text(self) -> bytes:
        """The JSON itself, in UTF-8."""
        return gzip.decompress(self.data)


class PackedRuns:
    """Runs as compressed JSON, the least recently used go first. Thread-safe.

    A stored run never changes: one that is measured again has another time of creation.

    Args:
        most_bytes: that they hold together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._packed: OrderedDict[Key, Packed] = OrderedDict()
        self.bytes = 0
        """What they hold."""

    def get(self, key: Key, write: Callable[[], bytes]) -> Packed:
        """Return a run; ``write`` is called for its JSON where it is not kept."""
        with self._lock:
            if key in self._packed:
                self._packed.move_to_end(key)
                return self._packed[key]
        text = write()
        packed = Packed(gzip.compress(text, _LEVEL, mtime=0), f'"{sha256(text).hexdigest()[:32]}"')
        with self._lock:
            if key not in self._packed:
                self._packed[key] = packed
                self.bytes += len(packed.data)
            while self.bytes > self._most_bytes:
                _, oldest = self._packed.popitem(last=False)
                self.bytes -= len(oldest.data)
        return packed
