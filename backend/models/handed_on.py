"""What a layer hands on: one residual stream and nothing else, or more."""

from collections.abc import Sequence

from torch import nn

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.streams import has_several


def refuse_unless_one_stream(loaded: LoadedModel, what: str) -> None:
    """Refuse what reads layers apart or writes between them, where they hand on more.

    Args:
        what: in words, such as "reading layer by layer".
    Raises:
        ValueError: if the model's layers hand on several streams, or keys and values besides.
    """
    if has_several(loaded.layers):
        more = "several side by side (AltUp), of which only the merge is known"
    elif any(of is not None for of in capabilities.layers(loaded).shared_from):
        more = "keys and values besides, which later layers read"
    else:
        return
    raise ValueError(
        f"{what} needs layers that hand on one residual stream and nothing else, and those of "
        f"{loaded.name} hand on {more}: choose another model, such as a Llama, or a method that "
        "changes the text or attention"
    )


def several_streams_note(layers: Sequence[nn.Module]) -> tuple[str, ...]:
    """Say what stands for the residual stream where there are several."""
    if not has_several(layers):
        return ()
    return (
        "layers hand on several residual streams side by side (AltUp): the residual stream is "
        "their merge, as the model makes it before its final norm",
    )
