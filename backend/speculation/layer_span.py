"""A forward pass of some layers alone: from a state that is given, to one that is handed out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from torch import Tensor, nn

from tokenarium.backend.observe.streams import stream


class _StopError(Exception):
    """The last layer that was asked for is done."""


@contextmanager
def layer_span(
    layers: Sequence[nn.Module],
    stop: int,
    beside: Sequence[int] = (),
    given: tuple[int, Tensor] | None = None,
) -> Iterator[dict[int, Tensor]]:
    """Let the forward pass inside end after ``stop`` layers.

    Args:
        layers: of the model.
        stop: how many of them, from the first, are run at most.
        beside: after how many layers each the residual is handed out too; 0 is before the first.
        given: how many layers, from the first, are not run, and the residual [n, hidden] after
            them; at least one.
    Yields: the residual stream [n, hidden] after ``stop`` and after each number of ``beside``, once
        the pass is done.
    """
    states: dict[int, Tensor] = {}

    def keep(count: int, output: Any) -> None:
        states[count] = stream(layers[max(count - 1, 0)], output)[0]
        if count == stop:
            raise _StopError

    def after(count: int) -> Callable[..., None]:
        return lambda _, __, output: keep(count, output)

    handles = [
        layers[count - 1].register_forward_hook(after(count))
        for count in sorted({stop, *beside} - {0})
    ]
    if 0 in beside:
        handles.append(
            layers[0].register_forward_pre_hook(
                _first_input(lambda x: keep(0, x)), with_kwargs=True
            )
        )
    with _skipping(layers, given), suppress(_StopError):
        try:
            yield states
        finally:
            for handle in handles:
                handle.remove()


@contextmanager
def _skipping(layers: Sequence[nn.Module], given: tuple[int, Tensor] | None) -> Iterator[None]:
    """Let layers hand on what they are given, the last of them the residual that is known."""
    count, residual = (0, None) if given is None else given
    skipped: list[Any] = list(layers[:count])
    outer = [vars(layer).get("forward") for layer in skipped]

    def hand_on(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states

    def start(*_: Any, **__: Any) -> Tensor:
        assert residual is not None
        return residual[None]

    for place, layer in enumerate(skipped, 1):
        layer.forward = start if place == count else hand_on
    try:
        yield
    finally:
        for layer, own in zip(skipped, outer, strict=True):
            if own is None:
                del layer.forward
            else:
                layer.forward = own


def _first_input(seen: Callable[[Any], None]) -> Callable[..., None]:
    return lambda _, given, named: seen(given[0] if given else named["hidden_states"])
