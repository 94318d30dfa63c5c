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
    windows: tuple[int | None, ...]
    """By layer that attends the most keys a query sees by design; None where it sees all."""
    heads: tuple[tuple[int, int] | None, ...]
    """By layer the query heads and the key-value heads; None where a layer does not attend."""
    shared_from: tuple[int | None, ...] = ()
    """By layer the earlier one whose keys and values it reads, making none of its own."""

    @property
    def most_heads(self) -> int:
        """Query heads of the layer that has most."""
        return max(each[0] for each in self.heads if each)

    @property
    def kv_heads(self) -> int:
        """Key-value heads of the layer that has most."""
        return max(each[1] for each in self.heads if each)

    @property
    def attending(self) -> int:
        """Layers that attend."""
        return sum(each is not None for each in self.heads)

    @property
    def alike(self) -> bool:
        """Whether every layer attends, with equally many heads."""
        return None not in self.heads and len(set(self.heads)) == 1


class _Layers(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.windows: dict[int, int | None] = {}
        self.heads: dict[int, tuple[int, int]] = {}
        self.shared: dict[int, int] = {}
        self._keys: dict[int, Tensor] = {}

    def attend(self, call: AttentionCall) -> Tensor:
        self.windows[call.layer] = call.declared_window
        self.heads[call.layer] = (call.q.shape[1], call.k.shape[1])
        same = (of for of, keys in self._keys.items() if keys.data_ptr() == call.k.data_ptr())
        if (first := next(same, None)) is not None:
            self.shared[call.layer] = first
        self._keys[call.layer] = call.k
        return super().attend(call)


@torch.inference_mode()
def layout(loaded: LoadedModel) -> Layout:
    """Read one token, and return what its layers said."""
    watch = _Layers()
    ids = torch.zeros((1, 1), dtype=torch.long, device=loaded.device)
    with recording(watch):
        loaded.body(input_ids=ids, use_cache=False)
    heads = tuple(map(watch.heads.get, range(len(loaded.layers))))
    windowed = tuple(layer for layer, window in watch.windows.items() if window is not None)
    shared = tuple(map(watch.shared.get, range(len(loaded.layers))))
    return Layout(windowed, tuple(watch.windows.values()), heads, shared)
