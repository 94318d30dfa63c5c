"""Keep more in lower layers than in higher ones."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from tokenarium.backend.cache.kvpress_call import KVPressCall, press
from tokenarium.backend.cache.policies.snapkv import WINDOW, SnapKV


class PyramidKV(SnapKV):
    """SnapKV whose budget falls from layer to layer, as attention narrows."""

    slug: ClassVar[str] = "pyramidkv"
    title: ClassVar[str] = "PyramidKV"
    explanation: ClassVar[str] = (
        "Chooses as SnapKV does, with a budget that falls from the lowest layer to the highest."
    )
    paper: ClassVar[str] = "Cai et al., 2024, arXiv:2406.02069"
    differs: ClassVar[str] = (
        "the layers' budgets always add up to the one asked for; query heads that share a KV head "
        "are joined"
    )
    published: ClassVar[Mapping[str, Any]] = {"window": WINDOW, "kernel": 5, "beta": 20}

    beta: float = Field(
        20,
        ge=1,
        le=100,
        description="How steep: the highest layer has 1/beta of the mean beside the window; 1 "
        "gives every layer the same.",
    )

    def kvpress(self, compression_ratio: str) -> KVPressCall:
        """Return its nearest press."""
        differs = (
            "It counts the window inside the pyramid, where this adds it to every layer's part; "
            "the ratio is that of all layers together.",
        )
        return press(
            "PyramidKVPress",
            compression_ratio,
            differs=differs,
            window_size=self.window,
            kernel_size=self.kernel,
            beta=self.beta,
        )

    def layer_budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return the window and what falls linearly; the lowest layer stops at the whole prompt."""
        spare = budget - self.window
        top = max(0.0, min(2 * spare - spare / self.beta, length - self.window))
        step = 2 * (top - spare) / max(1, layers - 1)
        lower = [round(self.window + top - step * layer) for layer in range(layers // 2)]
        middle = [budget] * (layers % 2)
        return lower + middle + [2 * budget - own for own in reversed(lower)]
