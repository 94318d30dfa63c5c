"""From residual streams to next-token distributions, reduced a few rows at a time."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.trace.draft import Draft
from tokenarium.kernels.vocab_stats import VocabStats, vocab_stats

CHUNK_LOGITS = 1 << 24
CHUNK_ROWS = range(32, 257)
"""Fewer rows would read the unembedding matrix too often, more would leave the cache."""


def predict(
    loaded: LoadedModel,
    final: Tensor,
    lens: Mapping[int, Tensor],
    ids: Tensor,
    draft: Draft,
    step: Callable[[int, int], None],
) -> None:
    """Fill a draft with the model's next-token statistics and, where given, the logit lens.

    Args:
        final: [T, D] the residual stream after the last layer.
        lens: residual streams [T, D] by the layer they enter.
        ids: [T] token ids.
        step: called with (done, total) after each distribution of each chunk.
    """
    top_k = draft.arrays["top_ids"].shape[1]
    chunks = _chunks(loaded, len(ids))
    total, done = len(chunks) * (1 + len(lens)), 0
    for chunk in chunks:
        logits = _logits(loaded, final[chunk])
        targets = ids[chunk.start + 1 : chunk.stop + 1]
        stats = vocab_stats(
            logits,
            targets=torch.nn.functional.pad(targets, (0, chunk.stop - chunk.start - len(targets))),
            top_k=top_k,
            varentropy=True,
            keep_probs=bool(lens),
        )
        del logits
        _keep_final(draft, chunk, len(targets), stats)
        done += 1
        step(done, total)
        for _ in _look(loaded, stats, lens, chunk, draft):
            done += 1
            step(done, total)


def look(
    loaded: LoadedModel,
    final: Tensor,
    lens: Mapping[int, Tensor],
    draft: Draft,
    step: Callable[[], None],
) -> None:
    """Fill a draft with the logit lens of some layers; see ``predict``."""
    for chunk in _chunks(loaded, len(final)):
        stats = vocab_stats(_logits(loaded, final[chunk]), keep_probs=True)
        for _ in _look(loaded, stats, lens, chunk, draft):
            step()


def _look(
    loaded: LoadedModel, final: VocabStats, lens: Mapping[int, Tensor], chunk: slice, draft: Draft
) -> Iterator[None]:
    """Decode a chunk of each stream, and pause after each."""
    for layer, residual in lens.items():
        stats = vocab_stats(_logits(loaded, residual[chunk]), top_k=1, other=final)
        _keep_lens(draft, layer, chunk, stats, stats.kl)
        yield


def _chunks(loaded: LoadedModel, length: int) -> list[slice]:
    rows = _chunk_rows(int(loaded.model.config.get_text_config().vocab_size))
    return [slice(start, min(start + rows, length)) for start in range(0, length, rows)]


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
