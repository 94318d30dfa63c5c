"""Cut a text by every tokenizer and segmenter asked for, and let a model score the cuts."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.tokenization.counts import Counts, count, word_spans
from tokenarium.backend.tokenization.request import SegmenterSpec, TokenizeRequest
from tokenarium.backend.tokenization.result import TokenizeResult
from tokenarium.backend.tokenization.segmentation import Segmentation, read, segmentation_of
from tokenarium.backend.tokenization.vocabulary import Vocabulary

_NAN = float("nan")
_NOTHING = Segmentation((), np.zeros((0, 2), np.int32), canonical=False)


@dataclass(frozen=True)
class Row:
    """One tokenizer with one segmenter."""

    vocabulary: Vocabulary
    spec: SegmenterSpec
    cut: Segmentation
    refused: str


def tokenize(
    request: TokenizeRequest,
    loaded: LoadedModel | None,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
    vocabularies: Mapping[str, Vocabulary],
) -> TokenizeResult:
    """Cut a text; where a model is named, measure what each of its segmentations costs.

    Args:
        loaded: the model; None for none.
        limit: most tokens the model may read.
        emit: receives progress.
        cancel: checked between segmentations and blocks of predictions.
        vocabularies: by the names of the request.
    Raises: ValueError where no segmentation can be made, or a tokenizer fails; Cancelled.
    """
    report = ProgressReporter(emit, cancel).report
    rows = []
    for row in rows_of(request, vocabularies):
        cancel.check()
        rows.append(row)
    if all(row.refused for row in rows):
        raise ValueError(rows[0].refused)
    notes, nats = [], [np.full(len(row.cut.ids), np.nan, np.float32) for row in rows]
    if loaded is not None:
        notes = _score(rows, nats, loaded, limit, lambda k: report("scoring", k, len(rows)))
    return _result(request, rows, nats, tuple(notes))


def rows_of(request: TokenizeRequest, vocabularies: Mapping[str, Vocabulary]) -> Iterator[Row]:
    """Yield a segmentation for each tokenizer and segmenter; one that cannot be made says why."""
    for name in request.tokenizers:
        reading = read(vocabularies[name], request.text)
        for spec in request.segmenters:
            try:
                ids = spec.segmenter.segment(reading, request.seed)
                cut = segmentation_of(reading, ids)
                if spec.segmenter.joins:
                    cut = replace(cut, units=tuple(spec.segmenter.units(reading, ids)))
                yield Row(reading.vocabulary, spec, cut, "")
            except ValueError as error:
                yield Row(reading.vocabulary, spec, _NOTHING, str(error))


def spelled(spec: SegmenterSpec) -> str:
    """Return a segmenter with the parameters that are not its defaults, as people write it."""
    usual = type(spec.segmenter)()
    changed = {n: v for n, v in spec.parameters.items() if v != getattr(usual, n)}
    inside = ", ".join(f"{name}={value}" for name, value in changed.items())
    return f"{spec.slug}({inside})" if inside else spec.slug


def _score(
    rows: list[Row],
    nats: list[NDArray[np.float32]],
    loaded: LoadedModel,
    limit: int,
    step: Callable[[int], None],
) -> list[str]:
    """Fill in the surprisal of each token that is the model's; return what is to be said."""
    from tokenarium.backend.tokenization.merged_scoring import merged_surprisals
    from tokenarium.backend.tokenization.scoring import beginning, surprisals

    before, notes = beginning(loaded), []
    vocabulary = loaded.tokenizer.get_vocab()
    if before:
        first = loaded.tokenizer.convert_ids_to_tokens(before[0])
        notes.append(f"{first} stands before the text, so that its first token has a probability")
    else:
        notes.append("this model has no token to begin with: the first token of each is left out")
    for number, row in enumerate(rows):
        if row.refused or not _same(row.vocabulary, vocabulary):
            continue
        step(number)
        if len(row.cut.ids) + len(before) > limit:
            notes.append(
                f"{spelled(row.spec)} gives {len(row.cut.ids)} tokens, the limit is {limit}: not "
                "scored"
            )
            continue
        if not row.cut.units:
            nats[number][:] = surprisals(loaded, row.cut.ids, before, partial(step, number))
            continue
        try:
            nats[number][:] = merged_surprisals(
                loaded, row.cut.ids, row.cut.units, before, partial(step, number)
            )
        except ValueError as error:
            notes.append(f"{spelled(row.spec)} is not scored: {error}")
    if all(np.isnan(each).all() for each in nats):
        raise ValueError(
            f"no tokenizer asked for is that of {loaded.name}, so that it can score nothing: add "
            f"{loaded.name} to tokenizers, or leave out model"
        )
    return notes


def _same(vocabulary: Vocabulary, known: Mapping[str, int]) -> bool:
    """Return whether a vocabulary is that of a loaded model."""
    return all(known.get(entry) == key for key, entry in vocabulary.entries.items())


def _result(
    request: TokenizeRequest,
    rows: list[Row],
    nats: list[NDArray[np.float32]],
    notes: tuple[str, ...],
) -> TokenizeResult:
    size = len(request.text.encode())
    counted = [
        Counts(0, _NAN, _NAN, _NAN, _NAN)
        if row.refused
        else count(row.cut, request.text, row.vocabulary)
        for row in rows
    ]
    spans = np.concatenate([row.cut.spans for row in rows])
    ranks = [row.vocabulary.rank_of.get(key, -1) for row in rows for key in row.cut.ids]
    return TokenizeResult(
        tokenizer=tuple(row.vocabulary.name for row in rows),
        segmenter=tuple(spelled(row.spec) for row in rows),
        tokens=np.array([each.tokens for each in counted], np.int32),
        bytes_per_token=np.array([each.bytes_per_token for each in counted], np.float32),
        fertility=np.array([each.fertility for each in counted], np.float32),
        continued_words=np.array([each.continued for each in counted], np.float32),
        byte_fallback=np.array([each.fallback for each in counted], np.float32),
        canonical=np.array([row.cut.canonical for row in rows], np.bool_),
        nats_per_byte=np.array([_per_byte(each, size) for each in nats], np.float32),
        refused=tuple(row.refused for row in rows),
        segmentation=np.repeat(np.arange(len(rows)), [len(r.cut.ids) for r in rows]).astype("i4"),
        token_ids=np.array([key for row in rows for key in row.cut.ids], np.int32),
        start_byte=spans[:, 0].astype(np.int32),
        stop_byte=spans[:, 1].astype(np.int32),
        merge_rank=np.array(ranks, np.int32),
        surprisal_nats=np.concatenate(nats),
        units=np.array([len(row.cut.units) or len(row.cut.ids) for row in rows], np.int32),
        unit=np.concatenate([_units(row.cut) for row in rows]),
        text_bytes=size,
        text_characters=len(request.text),
        text_words=len(word_spans(request.text)),
        notes=notes,
    )


def _units(cut: Segmentation) -> NDArray[np.int32]:
    """Return [n] the number of the unit of each token."""
    sizes = cut.units or (1,) * len(cut.ids)
    return np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)


def _per_byte(nats: NDArray[np.float32], size: int) -> float:
    known = nats[np.isfinite(nats)].astype(np.float64)
    return float(known.sum()) / size if len(known) else _NAN
