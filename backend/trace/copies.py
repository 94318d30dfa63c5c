"""Measured values on their way from the device to the arrays of a run."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST_BYTES = 64 << 20
"""Values that wait on a device take at most about this much of its memory."""


def on_a_device(values: Tensor) -> bool:
    """Whether a tensor lies elsewhere than in main memory."""
    return values.device.type != "cpu"


class Copies:
    """Fills arrays with tensors: from main memory at once, from a device many in one copy.

    A copy waits for all that the device still has to do, so that one for each value would keep it
    from working ahead.

    Args:
        most_bytes: how much may wait before it is copied.
        waits: which tensors are copied together, later.
    """

    def __init__(
        self, most_bytes: int = MOST_BYTES, waits: Callable[[Tensor], bool] = on_a_device
    ) -> None:
        self._most, self._waits = most_bytes, waits
        self._waiting: list[tuple[NDArray[np.generic], Tensor]] = []
        self._bytes = 0

    def put(self, array: NDArray[np.generic], values: Tensor) -> None:
        """Fill an array, float32 or int32, now or at the next ``finish``.

        Args:
            array: as large as the values; a view of the array that is filled.
            values: numbers of any format.
        """
        if not self._waits(values):
            array[...] = values.numpy()
            return
        kind = torch.float32 if array.dtype == np.float32 else torch.int32
        self._waiting.append((array, values.to(kind)))
        self._bytes += array.nbytes
        if self._bytes > self._most:
            self.finish()

    def finish(self) -> None:
        """Copy all that waits, in one piece."""
        if not self._waiting:
            return
        words = [values.flatten().view(torch.int32) for _, values in self._waiting]
        copied = torch.cat(words).cpu().numpy()
        start = 0
        for array, values in self._waiting:
            stop = start + values.numel()
            array[...] = copied[start:stop].view(array.dtype).reshape(values.shape)
            start = stop
        self._waiting.clear()
        self._bytes = 0
