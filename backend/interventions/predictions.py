"""What both runs predict, and how far apart they are, a few rows of logits at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.kernels.vocab_stats import VocabStats, vocab_stats

Floats = NDArray[np.float32]

ROWS = 128
"""Rows of logits held at once, per run."""


@dataclass(frozen=True)
class Predictions:
    """Surprisal and entropy of each token of both runs, and KL(plain || changed)."""

    surprisal: Floats
    entropy: Floats
    changed_surprisal: Floats
    changed_entropy: Floats
    kl: Floats


def compare(
    loaded: LoadedModel,
    plain: tuple[Tensor, list[int]],
    changed: tuple[Tensor, list[int]],
    aligned: list[int],
    step: Callable[[int, int], None],
) -> Predictions:
    """Compute both runs' predictions.

    Args:
        plain: residual stream [T, D] and token ids of the plain run.
        changed: the same of the changed run, T' tokens.
        aligned: T' positions in the plain run; -1 for none.
        step: called with (done, total) rows of the changed run.
    """
    length, total = len(plain[1]), len(changed[1])
    found = Predictions(
        *(_unknown(length), _unknown(length)),
        *(_unknown(total), _unknown(total), _unknown(total)),
    )
    for start in range(0, total, ROWS):
        here = np.arange(start, min(start + ROWS, total))
        there = np.asarray(aligned)[here]
        both, alone = here[there >= 0], here[there < 0]
        if len(both):
            other = _predict(loaded, plain, there[there >= 0], found.surprisal, found.entropy, None)
            stats = _predict(
                loaded, changed, both, found.changed_surprisal, found.changed_entropy, other
            )
            assert stats.kl is not None
            found.kl[both] = stats.kl.cpu().numpy()
        if len(alone):
            _predict(loaded, changed, alone, found.changed_surprisal, found.changed_entropy, None)
        step(int(here[-1]) + 1, total)
    left = np.setdiff1d(np.arange(length), aligned)
    for start in range(0, len(left), ROWS):
        _predict(loaded, plain, left[start : start + ROWS], found.surprisal, found.entropy, None)
    return found


def _predict(
    loaded: LoadedModel,
    run: tuple[Tensor, list[int]],
    rows: NDArray[np.int_],
    surprisal: Floats,
    entropy: Floats,
    other: VocabStats | None,
) -> VocabStats:
    """Fill in the entropy after the tokens at ``rows``, and the surprisal of the tokens after."""
    stream, ids = run
    hidden = stream[torch.as_tensor(rows, device=stream.device)]
    hidden = hidden if loaded.final_norm is None else loaded.final_norm(hidden)
    following = [ids[row + 1] if row + 1 < len(ids) else 0 for row in rows.tolist()]
    stats = vocab_stats(
        loaded.unembed(hidden),
        targets=torch.tensor(following, device=stream.device),
        other=other,
        keep_probs=other is None,
    )
    assert stats.surprisal is not None
    followed = rows + 1 < len(ids)
    surprisal[rows[followed] + 1] = stats.surprisal.cpu().numpy()[followed]
    entropy[rows] = stats.entropy.cpu().numpy()
    return stats


def _unknown(length: int) -> Floats:
    return np.full(length, np.nan, dtype=np.float32)
