"""A model that reads a text and, beyond its end, a tree of guesses, of which one path stays."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.eviction.cache import PassingCache
from backend.instruments import AttentionCall, Recorder, plain_attention, recording
from backend.models.loaded import LoadedModel
from kernels.tree_attention import Ancestry, tree_attention


class TreeReader:
    """Keys and values of a text and of guesses after it; one forward pass per ``read``.

    Args:
        loaded: nobody else uses it meanwhile; a reader of another model or more may stand beside.
        capacity: most tokens and guesses held at once; room is made where it does not suffice.
        check: called in every layer; raises to stop.
        layers: read only the first so many layers, and predict from there; None reads all.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        capacity: int,
        check: Callable[[], None] = lambda: None,
        layers: int | None = None,
    ) -> None:
        self.loaded, self.check = loaded, check
        self.capacity = capacity
        self.layers = len(loaded.layers) if layers is None else layers
        self.length = 0
        """Tokens of the text that were read."""
        self.parents: list[int] = []
        """Guesses that were read, by the guess each follows; -1 follows the text."""
        self.depths: list[int] = []
        """Of each guess: 0 follows the text."""
        self.keys: list[Tensor] = []  # [G, capacity, D] per layer
        self.values: list[Tensor] = []
        self._cache = PassingCache(len(loaded.layers))

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text itself, and return the logits after the last [V].

        Guesses that were not kept are forgotten.
        """
        self.keep([])
        if self.length:
            hidden = self._guess(ids, range(-1, len(ids) - 1))
            self.keep(range(len(ids)))
        else:
            self.length = len(ids)
            hidden = self._forward(ids, range(len(ids)))
        return self.loaded.unembed(hidden[-1])

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read guesses, and return the logits after each [n, V].

        Args:
            ids: [n] tokens, each after its parent.
            parents: [n] which guess each follows, counted from the first since ``keep``, those
                already read included; -1 follows the text.
        """
        return self.loaded.unembed(self._guess(ids, parents))

    def keep(self, path: Sequence[int]) -> None:
        """Make a path of guesses, each the next one's parent, part of the text; forget the rest."""
        if path and list(path) != list(range(len(path))):
            rows = torch.tensor(path, device=self.loaded.device) + self.length
            for buffers in (self.keys, self.values):
                for buffer in buffers:
                    buffer[:, self.length : self.length + len(path)] = buffer[:, rows]
        self.length += len(path)
        self.parents, self.depths = [], []

    def _guess(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        for parent in parents:
            self.parents.append(parent)
            self.depths.append(0 if parent < 0 else self.depths[parent] + 1)
        return self._forward(ids, [self.length + depth for depth in self.depths[-len(ids) :]])

    def _forward(self, ids: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Return the final states [n, hidden], normed."""
        device = self.loaded.device
        held = self.length + len(self.parents)
        self._cache.advance(held - len(ids) - self._cache.get_seq_length())
        with recording(_Keeper(self)), _stopping(self.loaded, self.layers) as stopped:
            try:
                out = self.loaded.model.base_model(
                    input_ids=torch.tensor([list(ids)], device=device),
                    position_ids=torch.tensor([list(positions)], device=device),
                    past_key_values=self._cache,
                    use_cache=True,
                )
            except _StopError:
                norm = self.loaded.final_norm
                states = stopped[0][0]
                return states if norm is None else norm(states)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def room(self, layer: int, buffers: list[Tensor], new: Tensor) -> Tensor:
        """Return a layer's buffer with room for ``new`` [G, n, D], and put it at the end."""
        held = self.length + len(self.parents)
        if layer == len(buffers):
            size = max(self.capacity, held)
            buffers.append(new.new_zeros(new.shape[0], size, new.shape[2]))
        elif held > buffers[layer].shape[1]:
            buffers[layer] = F.pad(buffers[layer], (0, 0, 0, held - buffers[layer].shape[1] + 64))
        buffers[layer][:, held - new.shape[1] : held] = new
        return buffers[layer][:, :held]


class _Keeper(Recorder):
    """Keeps keys and values, and lets every guess see the text and its own ancestors."""

    def __init__(self, reader: TreeReader) -> None:
        super().__init__()
        self._reader = reader
        self._tree = Ancestry(reader.parents)

    def attend(self, call: AttentionCall) -> Tensor:
        reader = self._reader
        reader.check()
        keys = reader.room(call.layer, reader.keys, call.k[0])
        values = reader.room(call.layer, reader.values, call.v[0])
        if not reader.parents:
            return plain_attention(call)
        return tree_attention(
            call.q[0],
            keys,
            values,
            self._tree,
            scaling=call.scaling,
            softcap=call.softcap,
            sinks=call.sinks,
            window=call.declared_window,
        )[None]


class _StopError(Exception):
    """The layers that were asked for are done."""


@contextmanager
def _stopping(loaded: LoadedModel, layers: int) -> Iterator[list[Tensor]]:
    """Leave a forward pass before layer ``layers``, and hand out what that layer is given."""
    states: list[Tensor] = []
    if layers == len(loaded.layers):
        yield states
        return

    def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states.append(args[0] if args else kwargs["hidden_states"])
        raise _StopError

    handle = loaded.layers[layers].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        yield states
    finally:
        handle.remove()
