"""The lengths at which a model changes how it attends, and a model with small ones for a trial."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from tokenarium.backend.observe.fresh_rotary import changes_with_length, rotary_types

LONGEST_READ = 512
"""A longer length is not read past but made small: on a CPU that text would cost seconds."""
SMALL = 24
"""What longer lengths are for a trial; its text is longer."""

_NAMES = frozenset(
    {
        *("sliding_window", "sliding_window_size", "window_size", "attention_window_size"),
        *("attention_chunk_size", "chunk_size", "index_topk", "keep_window_size"),
        *("max_seq_len_cached", "original_max_seq_len", "original_max_position_embeddings"),
    }
)
_ROTARY = frozenset({"max_position_embeddings", "original_max_position_embeddings"})


def lengths_of(model: PreTrainedModel) -> dict[str, int]:
    """Return by name every length in tokens at which the model changes its ways.

    Windows, chunks and keys that an indexer chooses; of rotary positions the length from which
    they turn otherwise, where there is one.
    """
    found: dict[str, int] = {}
    for _, name, value in _places(model):
        found[name] = max(value, found.get(name, 0))
    return found


@contextmanager
def small_lengths(model: PreTrainedModel) -> Iterator[None]:
    """Make every length above ``LONGEST_READ`` as short as ``SMALL``, for as long as a block lasts.

    The weights stay as they are, so that a short text shows what a long one would.
    """
    changed = [place for place in _places(model) if place[2] > LONGEST_READ]
    for owner, name, _ in changed:
        _put(owner, name, SMALL)
    try:
        yield
    finally:
        for owner, name, value in changed:
            _put(owner, name, value)


def _places(model: PreTrainedModel) -> list[tuple[Any, str, int]]:
    """Return (owner, name, value) wherever a module or a configuration keeps such a length."""
    owners: dict[int, Any] = {}
    changes_by_length = False
    for module in model.modules():
        owners[id(module)] = module
        config = getattr(module, "config", None)
        if isinstance(config, PretrainedConfig):
            owners[id(config)] = config
        changes_by_length |= _turns_by_length(module)
    names = _NAMES | _ROTARY if changes_by_length else _NAMES - _ROTARY
    found = [
        (owner, name, value)
        for owner in owners.values()
        for name, value in vars(owner).items()
        if (name in names or name.endswith("_max_seq_len_cached"))
        and type(value) is int
        and value > 0
        and (not isinstance(owner, nn.Module) or "seq_len" not in name or _turns_by_length(owner))
    ]
    if changes_by_length:
        for owner in owners.values():
            found += _in_rotary(getattr(owner, "rope_parameters", None))
    return found


def _in_rotary(parameters: Any) -> list[tuple[Any, str, int]]:
    """Return where the parameters of rotary positions name a length, layer type by layer type."""
    if not isinstance(parameters, dict):
        return []
    found: list[tuple[Any, str, int]] = []
    for name, value in parameters.items():
        if isinstance(value, dict):
            found += _in_rotary(value)
        elif name in _ROTARY and type(value) is int:
            found.append((parameters, name, value))
    return found


def _put(owner: Any, name: str, value: int) -> None:
    if isinstance(owner, dict):
        owner[name] = value
    else:
        setattr(owner, name, value)


def _turns_by_length(module: nn.Module) -> bool:
    return any(changes_with_length(kind) for _, kind in rotary_types(module))
