"""Readings of one text in which parts of the model write something else than they did."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tokenarium.backend.models.handed_on import refuse_unless_one_stream
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.attention import (
    AttentionCall,
    Recorder,
    plain_attention,
    recording,
)
from tokenarium.backend.observe.residuals import residuals
from tokenarium.backend.observe.writers import Writers, written

Site = Literal["residual", "attention", "mlp", "head"]
"""The residual stream entering a layer; what its attention or MLP adds; one head's output before
the output projection."""
BATCH_TOKENS = 512
"""Tokens that are read at once."""


@dataclass(frozen=True)
class Write:
    """What stands at one site of one layer in place of what the model would put there."""

    site: Site
    layer: int
    values: Tensor
    """[n, D] or [1, D]; of a head [.., Dv]."""
    places: list[int] | None = None
    """The n positions; None for all."""
    head: int = 0

    @property
    def rows(self) -> slice | list[int]:
        """What the positions are in an array."""
        return slice(None) if self.places is None else self.places


class Overwriter:
    """Reads a text once and keeps what each part wrote, then again with parts overwritten.

    Layers before the first that is overwritten are not computed: what left them is known.

    Args:
        loaded: nobody else uses it meanwhile.
        ids: the text, T tokens.
        chosen: what writes into its residual stream, by layer.
        report: called with (readings done, readings in all); raises to stop.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        ids: Sequence[int],
        chosen: Sequence[Writers],
        report: Callable[[int, int], None],
    ) -> None:
        refuse_unless_one_stream(loaded, "overwriting the residual stream")
        self.loaded, self.ids, self._chosen, self._report = loaded, list(ids), chosen, report
        self.residual: dict[int, Tensor] = {}
        """[T, D] entering each layer; L is what leaves the last."""
        self.wrote: dict[tuple[Site, int], Tensor] = {}
        """[T, D] by attention and MLP of each layer."""
        self.heads: dict[int, Tensor] = {}
        """[T, H, Dv] by layer."""
        self.passes = 0
        """Readings of the text."""
        self.token_steps = 0
        """Tokens that were read in them."""
        self._wrapped: set[int] = set()
        self.logits: Tensor = self._read_once()
        """[V] after the text."""

    def read(
        self, rows: Sequence[Sequence[Write]], value: Callable[[Tensor], Tensor]
    ) -> NDArray[np.float64]:
        """Return [N] the value of the logits after each reading.

        Args:
            rows: what is overwritten in each; of two writes to one site the later one stays.
            value: of logits [B, V], as [B].
        """
        found = np.empty(len(rows))
        order = sorted(range(len(rows)), key=lambda row: _first(rows[row]))
        size = max(1, BATCH_TOKENS // len(self.ids))
        for start in range(0, len(order), size):
            self._report(start, len(rows))
            chosen = order[start : start + size]
            logits = self._read_batch([rows[row] for row in chosen])
            found[chosen] = value(logits).cpu().numpy()
        return found

    def _read_once(self) -> Tensor:
        kept: dict[Any, Tensor] = {}
        stream: dict[int, Tensor] = {}
        heads = _Heads({})
        forms: list[Any] = [
            layer.register_forward_hook(self._note_form(number))
            for number, layer in enumerate(self.loaded.layers)
        ]
        try:
            with (
                recording(heads),
                written(self._chosen, kept),
                residuals(self.loaded.layers, stream.__setitem__),
            ):
                logits = self._body(1)
        finally:
            for handle in forms:
                handle.remove()
        self.residual = {layer: residual[0] for layer, residual in stream.items()}
        like = self.residual[0]
        self.wrote = {key: value.reshape(like.shape) for key, value in kept.items()}
        self.heads = {layer: out[0] for layer, out in heads.found.items()}
        return logits[0]

    def _note_form(self, number: int) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if not isinstance(output, Tensor):
                self._wrapped.add(number)

        return hook

    def _read_batch(self, rows: Sequence[Sequence[Write]]) -> Tensor:
        at: dict[tuple[Site, int], list[tuple[int, Write]]] = defaultdict(list)
        for number, row in enumerate(rows):
            for write in row:
                at[write.site, write.layer].append((number, write))
        first = min(map(_first, rows))
        heads = _Heads({layer: each for (site, layer), each in at.items() if site == "head"})
        with ExitStack() as stack:
            stack.enter_context(recording(heads))
            stack.enter_context(self._skipped(first, len(rows)))
            for (site, layer), each in at.items():
                if site == "residual":
                    hook = self.loaded.layers[layer].register_forward_pre_hook(
                        _entering(each), with_kwargs=True
                    )
                elif site != "head":
                    part = getattr(self._chosen[layer], site)
                    hook = part.register_forward_hook(_adding(each, len(rows)))
                else:
                    continue
                stack.callback(hook.remove)
            return self._body(len(rows))

    @contextmanager
    def _skipped(self, first: int, count: int) -> Iterator[None]:
        """Hand the known residual through the layers before ``first``."""
        skipped = self.loaded.layers[:first]
        before = [layer.__dict__.get("forward") for layer in skipped]
        try:
            for number, layer in enumerate(skipped, 1):
                known = self.residual[number].expand(count, -1, -1)
                made = (known,) if number - 1 in self._wrapped else known
                layer.forward = lambda *_, made=made, **__: made
            yield
        finally:
            for layer, own in zip(skipped, before, strict=True):
                layer.__dict__.pop("forward", None)
                if own is not None:
                    layer.forward = own

    def _body(self, count: int) -> Tensor:
        tokens = torch.tensor([self.ids], device=self.loaded.device).expand(count, -1)
        states = self.loaded.body(input_ids=tokens, use_cache=False).last_hidden_state
        self.passes += count
        self.token_steps += tokens.numel()
        return self.loaded.unembed(states[:, -1]).float()


class _Heads(Recorder):
    """Keeps what each head's attention gives, or puts other values in its place."""

    def __init__(self, at: Mapping[int, Sequence[tuple[int, Write]]]) -> None:
        super().__init__()
        self._at = at
        self.found: dict[int, Tensor] = {}

    def attend(self, call: AttentionCall) -> Tensor:
        """Return the output of the layer, overwritten where it is to be."""
        out = plain_attention(call)
        self.found[call.layer] = out
        for row, write in self._at.get(call.layer, ()):
            out[row, write.rows, write.head] = write.values.to(out.dtype)
        return out


def _first(row: Sequence[Write]) -> int:
    return min(write.layer for write in row)


def _entering(at: Sequence[tuple[int, Write]]) -> Callable[..., Any]:
    def hook(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        hidden = (args[0] if args else named["hidden_states"]).clone()
        for row, write in at:
            hidden[row, write.rows] = write.values.to(hidden.dtype)
        if args:
            return (hidden, *args[1:]), named
        return args, {**named, "hidden_states": hidden}

    return hook


def _adding(at: Sequence[tuple[int, Write]], count: int) -> Callable[..., Any]:
    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        own = output if isinstance(output, Tensor) else output[0]
        changed = own.clone()
        rows = changed.view(count, -1, own.shape[-1])  # experts see all rows as one
        for row, write in at:
            rows[row, write.rows] = write.values.to(own.dtype)
        return changed if isinstance(output, Tensor) else (changed, *output[1:])

    return hook
