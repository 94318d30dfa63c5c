"""Whether a model reads a text from its embeddings alone as it reads it from token ids."""

from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.probes.observation import TOLERANCE
from tokenarium.backend.models.structure import embedding_entries

_TOKENS = 7


@torch.inference_mode()
def refuse_unless_embedded(loaded: LoadedModel) -> None:
    """Read a few tokens both ways, then embeddings between tokens, which belong to none.

    Raises:
        ValueError: if the first two differ, or the last cannot be read; a model that looks each
            token up once more in its layers does neither (Gemma 3n, Gemma 4).
    """
    ids = [(place * 7919 + 13) % embedding_entries(loaded.model) for place in range(_TOKENS)]
    tokens = torch.tensor([ids], device=loaded.device)
    table: Any = loaded.model.get_input_embeddings()
    embedded: Tensor = table(tokens)
    expected = _states(loaded, input_ids=tokens)
    try:
        found = _states(loaded, inputs_embeds=embedded)
        difference = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
        _states(loaded, inputs_embeds=(embedded + embedded.flip(1)) / 2)
        fits = difference <= TOLERANCE[loaded.dtype]
        reason = f"its states differ by {difference:.1e} of the largest"
    except (ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        fits, reason = False, "it asks for the tokens themselves"
    if not fits:
        raise ValueError(
            f"{loaded.name} does not read a text from embeddings alone as it reads the tokens "
            f"({reason}), so that there is no gradient by them and nothing stands between tokens: "
            "choose a method that changes the text, such as occlusion, or another model"
        )


def _states(loaded: LoadedModel, **given: Tensor) -> Tensor:
    states: Tensor = loaded.body(**given, use_cache=False).last_hidden_state
    return states.float()
