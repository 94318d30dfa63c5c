"""What tokens cost a model: the surprisal of each, after what a text begins with."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.kernels.vocab_stats import vocab_stats

ROWS = 128
"""Rows of logits held at once."""


def beginning(loaded: LoadedModel) -> list[int]:
    """Return the token that stands before a text so that its first token has a probability.

    BOS, or where the tokenizer has none, the token that ends a text; empty where it has neither.
    """
    tokenizer = loaded.tokenizer
    for key in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if key is not None:
            return [int(key)]
    return []


@torch.inference_mode()
def surprisals(
    loaded: LoadedModel, ids: Sequence[int], before: Sequence[int], step: Callable[[], None]
) -> NDArray[np.float32]:
    """Return [n] -ln p of each token given those before it; NaN of the first without a beginning.

    Args:
        loaded: the model.
        ids: n tokens.
        before: tokens that stand before them.
        step: called for every block of rows; raises to stop.
    """
    whole = [*before, *ids]
    found = np.full(len(whole), np.nan, np.float32)
    tokens = torch.tensor([whole], device=loaded.device)
    states = loaded.body(input_ids=tokens, use_cache=False).last_hidden_state[0]
    for start in range(0, len(whole) - 1, ROWS):
        step()
        stop = min(start + ROWS, len(whole) - 1)
        stats = vocab_stats(
            loaded.unembed(states[start:stop]), targets=tokens[0, start + 1 : stop + 1]
        )
        assert stats.surprisal is not None
        found[start + 1 : stop + 1] = stats.surprisal.float().cpu().numpy()
    return found[len(before) :]
