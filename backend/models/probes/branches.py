"""Whether a model can read a tree of drafted tokens or only a chain."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.probes.observation import TOLERANCE
from tokenarium.backend.models.structure import embedding_entries

Read = Callable[[bool, Sequence[int], Sequence[int], Sequence[int]], Tensor]
"""Whether as a chain, a text, tokens after it, their parents: to the logits after each of those."""

_TREE_LAYERS = {"full_attention", "sliding_attention"}
_TEXT = 4
_DEPTH = 4


@torch.inference_mode()
def why_chain_only(loaded: LoadedModel, read: Read) -> str | None:
    """Return why drafted tokens must form a chain; None where they may form a tree.

    What the configuration does not declare is tried: two branches are read after a text, which
    must give the logits of each branch read alone.

    Raises:
        ValueError: if the model cannot read drafted tokens after a text at all.
    """
    text, *branches = _branches(loaded)
    alone = torch.tensor([text + branch for branch in branches], device=loaded.device)
    expected = loaded.model(input_ids=alone, use_cache=False).logits[:, _TEXT:].float()
    reason = _declared(loaded)
    if reason is None:
        parents = [*range(-1, _DEPTH - 1), -1, *range(_DEPTH, 2 * _DEPTH - 1)]
        failure = _failure(
            loaded, read, False, text, [*branches[0], *branches[1]], parents, expected
        )
        if failure is None:
            return None
        reason = f"two branches after a text are read wrong ({failure})"
    chain = range(-1, _DEPTH - 1)
    failure = _failure(loaded, read, True, text, branches[0], chain, expected[:1])
    if failure is not None:
        raise ValueError(
            f"{loaded.name} cannot read drafted tokens after a text ({failure}): choose "
            "another model"
        )
    return reason


def _branches(loaded: LoadedModel) -> list[list[int]]:
    """Return a text and two continuations, all of different tokens where there are enough."""
    count = _TEXT + 2 * _DEPTH
    ids = [(place * 7919 + 13) % embedding_entries(loaded.model) for place in range(count)]
    return [ids[:_TEXT], ids[_TEXT : _TEXT + _DEPTH], ids[_TEXT + _DEPTH :]]


def _declared(loaded: LoadedModel) -> str | None:
    kinds = getattr(loaded.model.config.get_text_config(), "layer_types", None) or ()
    if others := sorted(set(kinds) - _TREE_LAYERS):
        return (
            f"its layers of kind {', '.join(others)} choose what a token sees in a way that is "
            "not defined for branches"
        )
    return None


def _failure(
    loaded: LoadedModel,
    read: Read,
    chain: bool,
    text: list[int],
    ids: list[int],
    parents: Sequence[int],
    expected: Tensor,
) -> str | None:
    try:
        found = read(chain, text, ids, parents).float().view_as(expected)
    except (ValueError, TypeError, RuntimeError, LookupError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        return str(error)
    difference = float((found - expected).abs().max() / expected.abs().max())
    if difference <= TOLERANCE[loaded.dtype]:
        return None
    return f"logits differ by {difference:.1e} of the largest from each path alone"
