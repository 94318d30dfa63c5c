"""The residual stream, seen where it enters and leaves decoder layers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from tokenarium.backend.observe.streams import stream

See = Callable[[int, Tensor], None]


@contextmanager
def residuals(layers: Sequence[nn.Module], see: See) -> Iterator[None]:
    """Call ``see(l, residual)`` with the residual stream [B, T, D] entering layer l.

    Entry L is what leaves the last layer, before the final norm. The hooks are gone afterwards,
    also when the forward pass was cut short. Of several streams it is their merge.
    """

    def entering(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(0, stream(layers[0], args[0] if args else kwargs["hidden_states"]))

    def leaving(number: int) -> Callable[[nn.Module, Any, Any], None]:
        def hook(layer: nn.Module, _: Any, output: Any) -> None:
            see(number, stream(layer, output))

        return hook

    handles = [layers[0].register_forward_pre_hook(entering, with_kwargs=True)]
    handles += [
        layer.register_forward_hook(leaving(number)) for number, layer in enumerate(layers, 1)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
