"""Other tokens for a text, each drawn from what the model expects where it stands."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.ordinary import ordinary_tokens

ROWS = 64
"""Rows of logits held at once."""


def replacements(
    loaded: LoadedModel, ids: Sequence[int], seed: int, draws: Sequence[int]
) -> list[NDArray[np.int64]]:
    """Return as many texts of P other tokens, each by a generator of its own.

    A token is drawn from the model's distribution after the text before it, the token that stands
    there left out; the first one is any ordinary token.

    Args:
        loaded: nobody else uses it meanwhile.
        ids: the text.
        seed: of all draws.
        draws: number of each, from 0.
    """
    device, length = loaded.device, len(ids)
    randoms = [np.random.default_rng([seed, 1 + draw]) for draw in draws]
    ordinary = torch.tensor(ordinary_tokens(loaded), device=device)
    drawn = [np.empty(length, np.int64) for _ in draws]
    for row, random in zip(drawn, randoms, strict=True):
        row[0] = random.choice(ordinary.cpu().numpy())
    own = torch.tensor(list(ids), device=device)
    states = loaded.body(input_ids=own[None], use_cache=False).last_hidden_state[0]
    for start in range(0, length - 1, ROWS):
        stop = min(start + ROWS, length - 1)
        logits = loaded.unembed(states[start:stop]).float()
        logits.scatter_(1, own[start + 1 : stop + 1, None], -torch.inf)
        total = torch.softmax(logits[:, ordinary], -1).cumsum(-1)
        for row, random in zip(drawn, randoms, strict=True):
            point = torch.as_tensor(random.random(stop - start)).to(device, total.dtype)
            place = torch.searchsorted(total, (point * total[:, -1])[:, None]).squeeze(1)
            chosen = ordinary[place.clamp(max=len(ordinary) - 1)]
            row[start + 1 : stop + 1] = chosen.cpu().numpy()
    return drawn
