"""A model that reads a text and then a tree of drafted tokens, of which one path is kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from tokenarium.backend.cache.passing_cache import PassingCache
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.handed_on import refuse_unless_one_stream
from tokenarium.backend.models.layer_kinds import state_kinds
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import refuse_crossing
from tokenarium.backend.observe import AttentionCall, Recorder, plain_attention, recording
from tokenarium.backend.speculation.layer_span import layer_span
from tokenarium.kernels.tree_attention import Ancestry, tree_attention


class TreeReader:
    """The KV cache of a text and of drafted tokens after it; one forward pass per ``read``.

    Args:
        loaded: nobody else uses it meanwhile; a reader of another model or more may stand beside.
        capacity: most tokens of both at once; the cache grows where it does not suffice.
        check: called in every layer; raises to stop.
        layers: read only the first so many layers, and predict from there; None reads all.
        probed: False believes that the model can read trees: for the probe that finds out.
        keep_states: keep states of the text for a draft head that reads them: the residual after
            so many layers each, side by side, or, where none is named, the final states; None
            keeps none.

    Raises:
        ValueError: if the model cannot read drafted tokens after a text, or has fewer layers.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        capacity: int,
        check: Callable[[], None] = lambda: None,
        layers: int | None = None,
        probed: bool = True,
        keep_states: Sequence[int] | None = None,
    ) -> None:
        self.loaded, self.check = loaded, check
        self.capacity = capacity
        self.layers = len(loaded.layers) if layers is None else layers
        if not 1 <= self.layers <= len(loaded.layers):
            raise ValueError(
                f"layers={layers} is not between 1 and the {len(loaded.layers)} of {loaded.name}"
            )
        self._cache = PassingCache(loaded.model, len(loaded.layers))
        if self._cache.has_states:
            raise ValueError(
                f"{loaded.name} has layers of kind {', '.join(state_kinds(loaded.model.config))}, "
                "which sum the text up in a state: it cannot go back when drafted tokens are "
                "rejected. Choose a model with attention alone"
            )
        self.chain_only = capabilities.why_chain_only(loaded, self._read_once) if probed else None
        """Why drafted tokens must form a chain; None where they may form a tree."""
        self.length = 0
        """Tokens of the text that were read."""
        self.first = 0
        """Tokens that were read in the first pass."""
        self.parents: list[int] = []
        """Of the drafted tokens that were read, the index of each one's parent; -1 for the text."""
        self.depths: list[int] = []
        """Of each drafted token: 0 follows the text."""
        self.keys: list[Tensor] = []  # [G, capacity, D] per layer
        self.values: list[Tensor] = []
        self._kept = keep_states
        self._states: list[Tensor] | None = None if keep_states is None else []  # [1, capacity, s]

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text itself, and return the logits after the last [V].

        Drafted tokens that were not kept are dropped.
        """
        return self.loaded.unembed(self.extend_states(ids)[-1])

    @torch.inference_mode()
    def extend_states(self, ids: Sequence[int], embeddings: Tensor | None = None) -> Tensor:
        """Read tokens as ``extend`` does, and return the final states after each [n, hidden].

        Args:
            ids: [n] tokens.
            embeddings: [n, hidden] that are read in their place; None for the tokens' own.
        """
        self.keep([])
        if self.length:
            hidden = self._read_drafted(ids, range(-1, len(ids) - 1), embeddings)
            self.keep(range(len(ids)))
        else:
            self.length = len(ids)
            hidden = self.normed(self._forward(ids, range(len(ids)), embeddings))
        return hidden

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read drafted tokens, and return the logits after each [n, V].

        Args:
            ids: [n] tokens, each after its parent.
            parents: [n] index of the drafted token that each follows, counted from the first since
                ``keep``, those already read included; -1 follows the text.

        Raises:
            ValueError: if they branch where ``chain_only`` is a reason that they must not, or are
                beyond the positions that the model has.
        """
        return self.loaded.unembed(self._read_drafted(ids, parents))

    def states(self, start: int) -> Tensor:
        """Return the states [n, s] that are kept, of the text's tokens from ``start`` on."""
        assert self._states is not None
        return self._states[0][0, start : self.length]

    @torch.inference_mode()
    def read_span(
        self,
        ids: Sequence[int],
        parents: Sequence[int] | None,
        stop: int,
        given: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """Read drafted tokens by some layers, and return the residual after them [n, hidden].

        Tokens whose other layers are not read by further calls are to be dropped by
        ``forget_after``.

        Args:
            ids: [n] tokens.
            parents: [n] as of ``read``; None where they are the text from its start.
            stop: of the layers, counted from the first.
            given: how many layers read these very tokens before, at these places, and the residual
                [n, hidden] that they left; their keys and values are where they wrote them.
        """
        if parents is None:
            assert not self.parents
            self.length = len(ids)
            return self._forward(ids, range(len(ids)), stop=stop, given=given)
        return self._forward(ids, self._place(ids, parents), stop=stop, given=given)

    @torch.inference_mode()
    def read_on(self, ids: Sequence[int], residual: Tensor, layers: int) -> Tensor:
        """Read a drafted chain on from where its first layers left it; return the logits [n, V].

        Args:
            ids: [n] tokens after the text, one after another; no others are held.
            residual: [m, hidden] after the first ``layers`` layers of the first m of them, which
                ``read_span`` read; of the other tokens these layers are read now.
            layers: how many.
        """
        self.forget_after(0)
        known = len(residual)
        if known < len(ids):
            self._place(ids[:known], range(-1, known - 1))
            new = self.read_span(ids[known:], range(known - 1, len(ids) - 1), layers)
            residual = torch.cat([residual, new]) if known else new
            self.forget_after(0)
        positions = self._place(ids, range(-1, len(ids) - 1))
        hidden = self._forward(ids, positions, given=(layers, residual))
        return self.loaded.unembed(self.normed(hidden))

    def normed(self, residual: Tensor) -> Tensor:
        """Return residuals [n, hidden] after the model's final norm."""
        norm = self.loaded.final_norm
        return residual if norm is None else norm(residual)

    @torch.inference_mode()
    def read_states(
        self,
        ids: Sequence[int],
        parents: Sequence[int],
        layers: int | None = None,
        embeddings: Tensor | None = None,
    ) -> Tensor:
        """Read drafted tokens as ``read`` does, and return the final states [n, hidden].

        Args:
            layers: read only the first so many, and predict from there; the tokens are then to be
                dropped by ``forget_after``.
            embeddings: [n, hidden] that are read in place of the tokens' own; None for those.
        """
        return self._read_drafted(ids, parents, embeddings, layers)

    def forget_after(self, count: int) -> None:
        """Drop all but the first ``count`` drafted tokens that were read."""
        self.parents, self.depths = self.parents[:count], self.depths[:count]

    def rewind(self, count: int) -> None:
        """Go back ``count`` tokens of the text; drafted tokens are dropped."""
        assert 0 <= count < self.length, "a text has one token at least"
        self.forget_after(0)
        self.length -= count

    @torch.inference_mode()
    def keep(self, path: Sequence[int]) -> int:
        """Make a path of drafted tokens part of the text, and drop the others.

        Returns: how many of the text's tokens need not be read again, which is all of the path.
        """
        in_place = next((place for place, node in enumerate(path) if place != node), len(path))
        if in_place < len(path):
            rows = torch.tensor(path[in_place:], device=self.loaded.device) + self.length
            start, stop = self.length + in_place, self.length + len(path)
            for buffers in (self.keys, self.values, self._states or []):
                for buffer in buffers:
                    buffer[:, start:stop] = buffer.index_select(1, rows)
        self.length += len(path)
        self.parents, self.depths = [], []
        return len(path)

    def _read_drafted(
        self,
        ids: Sequence[int],
        parents: Sequence[int],
        embeddings: Tensor | None = None,
        layers: int | None = None,
    ) -> Tensor:
        positions = self._place(ids, parents)
        return self.normed(self._forward(ids, positions, embeddings, layers))

    def _place(self, ids: Sequence[int], parents: Sequence[int]) -> list[int]:
        """Hold drafted tokens after their parents, and return their positions."""
        before = len(self.parents)
        if self.chain_only is not None and list(parents) != list(
            range(before - 1, before + len(ids) - 1)
        ):
            raise ValueError(
                f"drafted tokens after {list(parents)} are no chain, and {self.loaded.name} reads "
                f"no trees: {self.chain_only}. Choose a drafter of chains"
            )
        for parent in parents:
            self.parents.append(parent)
            self.depths.append(0 if parent < 0 else self.depths[parent] + 1)
        return [self.length + depth for depth in self.depths[before:]]

    def _forward(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        embeddings: Tensor | None = None,
        stop: int | None = None,
        given: tuple[int, Tensor] | None = None,
    ) -> Tensor:
        """Return the residual [n, hidden] after the last layer, or after ``stop``."""
        loaded, last = self.loaded, max(positions)
        if given is not None:
            refuse_unless_one_stream(loaded, "reading on from an inner layer")
        if last >= loaded.context and not loaded.reads_past_context:
            raise ValueError(
                f"a token would stand at position {last}, but {loaded.name} has {loaded.context}: "
                "ask for fewer new tokens or shorten the prompt"
            )
        self.first = self.first or len(ids)
        refuse_crossing(
            loaded, self.first, last + 1, "ask for fewer new tokens or shorten the prompt"
        )
        held = self.length + len(self.parents)
        self._cache.advance(held - len(ids) - self._cache.get_seq_length())
        last_layer, kept = stop or self.layers, None if stop else self._kept
        inputs: dict[str, Tensor] = {}
        if embeddings is None:
            inputs["input_ids"] = torch.tensor([list(ids)], device=loaded.device)
        else:
            capabilities.refuse_unless_embedded(loaded)
            inputs["inputs_embeds"] = embeddings[None]
        span = layer_span(loaded.layers, last_layer, kept or (), given)
        with recording(_Keeper(self)), span as states:
            loaded.body(
                **inputs,
                position_ids=torch.tensor([list(positions)], device=loaded.device),
                past_key_values=self._cache,
                use_cache=True,
            )
        hidden = states[last_layer]
        if kept is not None and self._states is not None:
            beside = [states[layer] for layer in kept] or [self.normed(hidden)]
            self.room(0, self._states, torch.cat(beside, -1)[None])
        return hidden

    def attending(self, call: AttentionCall, keys: Tensor) -> None:
        """Look at a layer's queries, and keys [G, S, D] of text and drafted tokens; for readers
        that watch."""

    def room(self, layer: int, buffers: list[Tensor], new: Tensor) -> Tensor:
        """Return a layer's buffer [G, S, D] with ``new`` [G, n, D] written at its end."""
        held = self.length + len(self.parents)
        if layer == len(buffers):
            buffers.append(new.new_zeros(new.shape[0], max(self.capacity, held), new.shape[2]))
        elif held > buffers[layer].shape[1]:
            more = max(held - buffers[layer].shape[1], held // 2)
            buffers[layer] = F.pad(buffers[layer], (0, 0, 0, more))
        buffers[layer][:, held - new.shape[1] : held] = new
        return buffers[layer][:, :held]

    def _read_once(
        self, chain: bool, text: Sequence[int], ids: Sequence[int], parents: Sequence[int]
    ) -> Tensor:
        """Read a text and drafted tokens with all layers, as the probe asks."""
        reader = TreeReader(self.loaded, len(text) + len(ids), self.check, probed=False)
        reader.chain_only = "it is tried as a chain" if chain else None
        reader.extend(text)
        return reader.read(ids, parents)


class _Keeper(Recorder):
    """Keeps keys and values; a drafted token attends to the text and its own ancestors."""

    def __init__(self, reader: TreeReader) -> None:
        super().__init__()
        self._reader = reader
        self._tree = Ancestry(reader.parents)

    def attend(self, call: AttentionCall) -> Tensor:
        reader, call = self._reader, call.newest()
        reader.check()
        keys = reader.room(call.layer, reader.keys, call.k[0])
        values = reader.room(call.layer, reader.values, call.v[0])
        reader.attending(call, keys)
        if call.mask is not None and call.mask.shape[-1] != keys.shape[-2]:
            raise ValueError(
                f"what layer {call.layer} sees is no window (chunks, or keys that the model "
                "chooses) and does not reach back over a text that was read before"
            )
        if reader.chain_only is not None or not reader.parents:
            return plain_attention(replace(call, k=keys[None], v=values[None]))
        if call.mask is not None or call.key_bias is not None:
            raise ValueError(
                f"layer {call.layer} of {reader.loaded.name} has a mask or bias of its own, which "
                "is not defined for branches: choose another model"
            )
        return tree_attention(
            call.q[0],
            keys,
            values,
            self._tree,
            scaling=call.scaling,
            softcap=call.softcap,
            sinks=call.sinks,
            window=call.window or call.declared_window,
        )[None]
