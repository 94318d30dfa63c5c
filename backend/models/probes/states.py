"""Whether a model with layers that keep a state goes on from it as if it read the text at once."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tokenarium.backend.models.layer_kinds import state_kinds
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.probes.observation import TOLERANCE
from tokenarium.backend.models.structure import embedding_entries

Read = Callable[[Sequence[list[int]]], Tensor]
"""From the parts of a text, read one after another with a full cache, to the logits after each."""

_PROMPT, _STEPS = 21, 6


@torch.inference_mode()
def refuse_unless_continues(loaded: LoadedModel, read: Read) -> None:
    """Read a text at once and piece by piece with a full cache; both must give the same logits.

    Args:
        loaded: the model.
        read: reads the parts of a text.
    Raises:
        ValueError: if they differ, or the model cannot be read on.
    """
    count = _PROMPT + _STEPS
    ids = [(place * 7919 + 13) % embedding_entries(loaded.model) for place in range(count)]
    whole = torch.tensor([ids], device=loaded.device)
    expected = loaded.model(input_ids=whole, use_cache=False).logits[0, _PROMPT - 1 :].float()
    try:
        found = read([ids[:_PROMPT], *([token] for token in ids[_PROMPT:])]).float()
        difference = float((found - expected).abs().max() / expected.abs().max())
        reason = f"logits differ by {difference:.1e} of the largest"
        fits = difference <= TOLERANCE[loaded.dtype]
    except (ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        fits, reason = False, str(error)
    if not fits:
        kinds = ", ".join(state_kinds(loaded.model.config))
        raise ValueError(
            f"{loaded.name} does not go on from the state of its layers of kind {kinds} as it "
            f"reads a whole text ({reason}): choose another model for a cache"
        )
