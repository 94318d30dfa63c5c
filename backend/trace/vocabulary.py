"""From residual streams to next-token distributions, reduced a few rows at a time."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
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
    after = slice(chunk.start + 1, chunk.start + 1 + followed)
    _keep(draft, "surprisal_nats", after, final.surprisal, followed)
    _keep(draft, "rank", after, final.rank, followed)
    _keep(draft, "entropy_nats", chunk, final.entropy)
    _keep(draft, "varentropy_nats2", chunk, final.varentropy)
    _keep(draft, "top_ids", chunk, final.top_ids)
    _keep(draft, "top_probs", chunk, final.top_probs)
    if "lens_ids" in draft.arrays:
        _keep_lens(draft, draft.layers, chunk, final, torch.zeros_like(final.entropy))


def _keep_lens(
    draft: Draft, layer: int, chunk: slice, stats: VocabStats, kl: Tensor | None
) -> None:
    assert stats.top_ids is not None
    _keep(draft, "lens_ids", (layer, chunk), stats.top_ids[:, 0])
    _keep(draft, "lens_entropy_nats", (layer, chunk), stats.entropy)
    _keep(draft, "lens_kl_nats", (layer, chunk), kl)


def _keep(
    draft: Draft, name: str, place: Any, values: Tensor | None, count: int | None = None
) -> None:
    assert values is not None
    draft.keep(name, place, values[:count])
