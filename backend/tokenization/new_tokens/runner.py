"""Give a model new tokens by each initialiser, and score the text with them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.tokenization.extension import regrouped, trained_merges
from tokenarium.backend.tokenization.new_tokens.added import added, tables_of
from tokenarium.backend.tokenization.new_tokens.initialiser import NewTokens, Rows
from tokenarium.backend.tokenization.new_tokens.request import InitialiserSpec, NewTokensRequest
from tokenarium.backend.tokenization.new_tokens.result import NewTokensResult
from tokenarium.backend.tokenization.new_tokens.words import words_of
from tokenarium.backend.tokenization.scoring import beginning, surprisals
from tokenarium.backend.tokenization.segmentation import read
from tokenarium.backend.tokenization.vocabulary import Vocabulary
from tokenarium.backend.tokenization.word_groups import Pieces

ROWS = 64
"""Texts that are embedded at once."""


@torch.inference_mode()
def swap(
    request: NewTokensRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
    vocabularies: Mapping[str, Vocabulary],
) -> NewTokensResult:
    """Return the loss with new tokens, by each initialiser.

    Args:
        limit: most tokens the model may read.
        emit: receives progress.
        cancel: checked before each pass of the model.
        vocabularies: the model's own, by its name.
    Raises: ValueError where no word of the text can become a token; Cancelled.
    """
    report = ProgressReporter(emit, cancel).report
    vocabulary = vocabularies[request.model]
    reading = read(vocabulary, request.text)
    words = words_of(reading)
    if request.corpus:
        pairs = trained_merges(vocabulary, request.corpus, request.merges, cancel.check)
        words = regrouped(words, vocabulary, pairs)
    new = chosen(request, words, vocabulary)
    before, total = beginning(loaded), len(request.initialisers) + 1
    native = [key for pieces in words for key in pieces]
    if len(before) + len(native) > limit:
        raise ValueError(f"the text is {len(native)} tokens, the limit is {limit}: shorten it")
    if not before:
        raise ValueError(f"{loaded.name} has no token to begin a text with: choose another model")
    step = partial(report, "scoring as it is", 0, total)
    plain = surprisals(loaded, native, before, step)
    first, second = tables_of(loaded)
    made = NewTokens(
        pieces=new,
        lengths=tuple(tuple(len(vocabulary.spelled[k]) for k in pieces) for pieces in new),
        table_in=first,
        table_out=second,
        embed=partial(_embed, loaded, before, cancel.check),
        seed=request.seed,
        contexts=contexts(words, new, vocabulary),
        encode=lambda text: read(vocabulary, text).native,
    )
    number = {pieces: place for place, pieces in enumerate(new)}
    rows, nats = [], []
    for done, spec in enumerate(request.initialisers, start=1):
        step = partial(report, spec.method.title, done, total)
        step()
        rows.append(spec.method.rows(made))
        with added(loaded, rows[-1]) as begin:
            ids = [k for p in words for k in ((begin + number[p],) if p in number else p)]
            nats.append(surprisals(loaded, ids, before, step))
    return _result(request, vocabulary, words, new, plain, rows, nats)


def chosen(
    request: NewTokensRequest, words: Sequence[Pieces], vocabulary: Vocabulary
) -> tuple[Pieces, ...]:
    """Return the words that become one token, as their pieces; those that save most come first.

    Raises:
        ValueError: if a word is not there, or one token already.
    """
    often = Counter(words)
    spelled = {pieces: _text(vocabulary, pieces, "") for pieces in often}
    if request.corpus:
        several = [pieces for pieces in often if len(pieces) > 1]
        several.sort(key=lambda pieces: -often[pieces] * (len(pieces) - 1))
        if not several:
            raise ValueError(
                "no token that is trained on corpus stands in this text: give a text in its "
                "language, or a longer corpus"
            )
        return tuple(several[: request.most])
    if not request.words:
        several = [p for p in often if len(p) > 1 and spelled[p].strip().isalpha()]
        several.sort(key=lambda pieces: -often[pieces] * (len(pieces) - 1))
        if not several:
            raise ValueError(
                "every word of this text is one token already: give a text with rarer words"
            )
        return tuple(several[: request.most])
    found: list[Pieces] = []
    for word in request.words:
        mine = [p for p in often if spelled[p].strip() == word]
        if not mine:
            raise ValueError(f"words has {word!r}, which is no word of the text: choose another")
        if all(len(p) == 1 for p in mine):
            raise ValueError(f"words has {word!r}, which is one token already: choose another")
        found += [p for p in mine if len(p) > 1]
    return tuple(found)


def contexts(
    words: Sequence[Pieces], new: Sequence[Pieces], vocabulary: Vocabulary
) -> tuple[Pieces, ...]:
    """Return the other tokens of all sentences in which each new token stands.

    A sentence ends with a word that has a full stop, a question or exclamation mark, or a new line.
    """
    sentences: list[list[Pieces]] = [[]]
    for word in words:
        sentences[-1].append(word)
        if any(end in _text(vocabulary, word, "") for end in ".!?\n"):
            sentences.append([])
    return tuple(
        tuple(
            key for sentence in sentences if token in sentence
            for word in sentence if word != token for key in word
        )
        for token in new
    )  # fmt: skip


def _embed(
    loaded: LoadedModel,
    before: Sequence[int],
    check: Callable[[], None],
    texts: Sequence[Sequence[int]],
) -> Tensor:
    """Return [n, d] the mean of the last states over the tokens of each text."""
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    by_length: dict[int, list[int]] = {}
    for place, text in enumerate(texts):
        by_length.setdefault(len(text), []).append(place)
    for places in by_length.values():
        for start in range(0, len(places), ROWS):
            check()
            mine = places[start : start + ROWS]
            ids = torch.tensor([[*before, *texts[p]] for p in mine], device=loaded.device)
            states = loaded.body(input_ids=ids, use_cache=False).last_hidden_state
            for place, state in zip(mine, states[:, len(before) :].float().mean(1), strict=True):
                found[place] = state
    return torch.stack(found)


def _result(
    request: NewTokensRequest,
    vocabulary: Vocabulary,
    words: Sequence[Pieces],
    new: tuple[Pieces, ...],
    plain: NDArray[np.float32],
    rows: Sequence[Rows],
    nats: Sequence[NDArray[np.float32]],
) -> NewTokensResult:
    number = {pieces: place for place, pieces in enumerate(new)}
    size = len(request.text.encode())
    old, place = np.zeros(len(words)), 0
    for at, pieces in enumerate(words):
        old[at] = plain[place : place + len(pieces)].sum()
        place += len(pieces)
    is_new = np.array([number.get(pieces, -1) for pieces in words])
    swapped = np.zeros((len(nats), len(words)))
    for method, found in enumerate(nats):
        place = 0
        for at, pieces in enumerate(words):
            count = 1 if is_new[at] >= 0 else len(pieces)
            swapped[method, at] = found[place : place + count].sum()
            place += count
    means = [(is_new == token) for token in range(len(new))]
    near: tuple[Pieces, ...] = next((each.near for each in rows if each.near), ())
    return NewTokensResult(
        new_token=tuple(_text(vocabulary, pieces, "") for pieces in new),
        pieces=tuple(_text(vocabulary, pieces, "|") for pieces in new),
        occurrences=np.array([mine.sum() for mine in means], np.int32),
        native_nats=np.array([old[mine].mean() for mine in means], np.float32),
        initialiser=tuple(named(spec) for spec in request.initialisers),
        new_nats=np.array([[row[m].mean() for m in means] for row in swapped], np.float32),
        nats_per_byte=(swapped.sum(1) / size).astype(np.float32),
        elsewhere_nats=(swapped - old)[:, is_new < 0].sum(1).astype(np.float32),
        similar=tuple(_text(vocabulary, keys, "|") for keys in near) or ("",) * len(new),
        native_nats_per_byte=float(old.sum() / size),
        native_tokens=sum(map(len, words)),
        tokens=sum(1 if is_new[at] >= 0 else len(p) for at, p in enumerate(words)),
        text_bytes=size,
    )


def _text(vocabulary: Vocabulary, keys: Sequence[int], between: str) -> str:
    if not between:
        return b"".join(vocabulary.spelled[k] for k in keys).decode("utf-8", "replace")
    parts = (vocabulary.spelled[k].decode("utf-8", "tokenarium_hexadecimal") for k in keys)
    return between.join(parts)


def named(spec: InitialiserSpec) -> str:
    """Return an initialiser with the parameters that are not its defaults."""
    usual = type(spec)(slug=spec.slug).parameters
    other = {name: value for name, value in spec.parameters.items() if value != usual[name]}
    inside = ", ".join(f"{name}={value}" for name, value in other.items())
    return f"{spec.slug}({inside})" if inside else spec.slug
