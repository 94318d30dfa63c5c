"""Texts that grow past the length from which a model's rotary positions turn otherwise."""

from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel


def rotary_crossing(loaded: LoadedModel, first: int, last: int) -> str | None:
    """Return what is wrong with keeping keys while a text grows; None where nothing is.

    Keys that were cached before the switch keep their rotation, those after it have another: what
    is read step by step then differs from what is read at once (transformers issue 25104).

    Args:
        loaded: the model.
        first: tokens that the first pass reads.
        last: tokens in all.
    """
    switch = capabilities.rotary_switch(loaded)
    if switch is None or not switch.crossed(first, last):
        return None
    return (
        f"above {switch.tokens} tokens the rotary positions of {loaded.name} turn otherwise "
        f"(rope_type={switch.rope_type!r}), and cached keys do not turn again"
    )


def refuse_crossing(loaded: LoadedModel, first: int, last: int, shorter: str) -> None:
    """Refuse a text that grows from ``first`` to ``last`` tokens past such a switch.

    Args:
        shorter: fields that would have to be lowered, as a remedy.
    Raises: ValueError saying where the switch lies and what would keep below it.
    """
    if words := rotary_crossing(loaded, first, last):
        switch = capabilities.rotary_switch(loaded)
        assert switch is not None
        raise ValueError(
            f"the text grows from {first} to {last} tokens, but {words}: {shorter}, so that all of "
            f"it stays within {switch.tokens} tokens"
        )
