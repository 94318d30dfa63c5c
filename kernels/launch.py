"""A Triton kernel together with its arguments."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Launch:
    """A kernel, its grid and its arguments by name: to be run here, or compiled for elsewhere."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: dict[str, Any]
    options: dict[str, int]

    def run(self) -> None:
        """Start the kernel on the current device."""
        self.kernel[self.grid](**self.arguments, **self.options)
