"""What the layers of a model hold: windows of their own, and key-value heads."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, recording


@dataclass(frozen=True)
class Layout:
    """The layers of a model, as one reading shows them."""

    windowed: tuple[int, ...]
    """Layers that keep to a window of their own."""
    kv_heads: int
    """Key-value heads of the layer that has most."""


class _Layers(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.windowed: list[int] = []
        self.kv_heads = 0

    def attend(self, call: AttentionCall) -> Tensor:
        if call.declared_window is not None:
            self.windowed.append(call.layer)
        self.kv_heads = max(self.kv_heads, call.k.shape[1])
        return super().attend(call)


@torch.inference_mode()
def layout(loaded: LoadedModel) -> Layout:
    """Read one token, and return what its layers said."""
    watch = _Layers()
    ids = torch.zeros((1, 1), dtype=torch.long, device=loaded.device)
    with recording(watch):
        loaded.body(input_ids=ids, use_cache=False)
    return Layout(tuple(watch.windowed), watch.kv_heads)
