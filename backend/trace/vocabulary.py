"""From residual streams to next-token distributions, reduced a few rows at a time."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backend.models.loaded import LoadedModel
from backend.trace.draft import Draft
from kernels.vocab_stats import VocabStats, vocab_stats

CHUNK_LOGITS = 1 << 24
CHUNK_ROWS = range(32, 257)
"""Fewer rows would read the unembedding matrix too often, more would leave the cache."""


def predict(
    loaded: LoadedModel,
    residuals: Sequence[Tensor],
    ids: Tensor,
    draft: Draft,
    step: Callable[[int, int], None],
) -> None:
    """Fill a draft with the model's next-token statistics and, where asked for, the logit lens.

    Args:
        residuals: entries 0..L [T, D] of the residual stream with the lens, else entry L alone.
        ids: [T] token ids.
        step: called with (done, total) after each distribution of each chunk.
    """
    top_k = draft.arrays["top_ids"].shape[1]
    rows = _chunk_rows(int(loaded.model.config.get_text_config().vocab_size))
    starts = range(0, len(ids), rows)
    total, done = len(starts) * len(residuals), 0
    for start in starts:
        chunk = slice(start, min(start + rows, len(ids)))
        logits = _logits(loaded, residuals[-1][chunk])
        targets = ids[chunk.start + 1 : chunk.stop + 1]
        final = vocab_stats(
            logits,
            targets=torch.nn.functional.pad(targets, (0, chunk.stop - chunk.start - len(targets))),
            top_k=top_k,
            varentropy=True,
            keep_probs=len(residuals) > 1,
        )
        del logits
        _keep_final(draft, chunk, len(targets), final)
        done += 1
        step(done, total)
        for layer, residual in enumerate(residuals[:-1]):
            stats = vocab_stats(_logits(loaded, residual[chunk]), top_k=1, other=final)
            _keep_lens(draft, layer, chunk, stats, stats.kl)
            done += 1
            step(done, total)


def _chunk_rows(vocabulary: int) -> int:
    return min(max(CHUNK_LOGITS // vocabulary, CHUNK_ROWS.start), CHUNK_ROWS.stop - 1)


def _logits(loaded: LoadedModel, residual: Tensor) -> Tensor:
    hidden = residual if loaded.final_norm is None else loaded.final_norm(residual)
    return loaded.unembed(hidden)


def _keep_final(draft: Draft, chunk: slice, followed: int, final: VocabStats) -> None:
    """Keep the distributions after the chunk's tokens; surprisal and rank are the next token's."""
    arrays = draft.arrays
    after = slice(chunk.start + 1, chunk.start + 1 + followed)
    arrays["surprisal_nats"][after] = _numpy(final.surprisal)[:followed]
    arrays["rank"][after] = _numpy(final.rank)[:followed]
    arrays["entropy_nats"][chunk] = _numpy(final.entropy)
    arrays["varentropy_nats2"][chunk] = _numpy(final.varentropy)
    arrays["top_ids"][chunk] = _numpy(final.top_ids)
    arrays["top_probs"][chunk] = _numpy(final.top_probs)
    if "lens_ids" in arrays:
        _keep_lens(draft, draft.layers, chunk, final, torch.zeros_like(final.entropy))


def _keep_lens(
    draft: Draft, layer: int, chunk: slice, stats: VocabStats, kl: Tensor | None
) -> None:
    arrays = draft.arrays
    arrays["lens_ids"][layer, chunk] = _numpy(stats.top_ids)[:, 0]
    arrays["lens_entropy_nats"][layer, chunk] = _numpy(stats.entropy)
    arrays["lens_kl_nats"][layer, chunk] = _numpy(kl)


def _numpy(values: Tensor | None) -> NDArray[np.generic]:
    assert values is not None
    array: NDArray[np.generic] = values.cpu().numpy()
    return array
