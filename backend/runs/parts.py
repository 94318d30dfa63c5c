"""Runs that consist of parts, each of which can be computed by itself, anywhere."""

from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Protocol

from tokenarium.backend.runs.result import Result


class Parts(Protocol):
    """A run in parts, made of its request. Not thread-safe."""

    compute: str
    """``module:function`` that computes one: takes the request, the part, the loaded model, the
    token limit, what receives events, and the ``CancelToken``."""

    def stages(self) -> Iterator[Sequence[Hashable]]:
        """Yield parts that may be computed at once; those of the next stage come after them."""

    def key(self, part: Hashable) -> str:
        """Return all that the answer of a part depends on beside the model and the machine."""

    def take(self, part: Hashable, answer: Any) -> None:
        """Take what was computed of a part."""

    def doing(self, part: Hashable) -> str:
        """Return in words what a part is."""

    def result(self) -> Result:
        """Return what is known so far, once one part is; at the end the whole.

        Raises:
            ValueError: at the end, if nothing could be measured.
        """
