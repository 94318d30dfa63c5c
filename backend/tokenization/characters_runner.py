"""Ask a model about the letters of words; candidates are scored, nothing is generated."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.tokenization.characters import (
    Question,
    prompt,
    questions,
    slope,
    usual_answer,
)
from tokenarium.backend.tokenization.characters_result import CharactersResult
from tokenarium.backend.tokenization.request import CharactersRequest
from tokenarium.backend.tokenization.scoring import beginning, surprisals
from tokenarium.backend.tokenization.segmentation import read, segmentation_of
from tokenarium.backend.tokenization.vocabulary import Vocabulary


@torch.inference_mode()
def ask(
    request: CharactersRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
    vocabularies: Mapping[str, Vocabulary],
) -> CharactersResult:
    """Score every candidate answer of every question.

    Args:
        limit: most tokens the model may read.
        emit: receives progress.
        cancel: checked before each pass of the model.
        vocabularies: the model's own, by its name.
    Raises: ValueError where no question can be asked or a prompt is too long; Cancelled.
    """
    report, vocabulary = ProgressReporter(emit, cancel).report, vocabularies[request.model]
    asked = questions(request.words, request.task, request.seed)
    answers, margins, lengths, tokens = [], [], [], []
    for number, each in enumerate(asked):
        step = partial(report, "asking", number, len(asked))
        step()
        text, begin = prompt(each, request.task, request.shots)
        scores = _scores(loaded, vocabulary, text, each, limit, step)
        right = each.candidates.index(each.answer)
        wrong = np.delete(scores, right)
        answers.append(each.candidates[int(scores.argmax())])
        margins.append(scores[right] - wrong.max())
        length, count = _token_of(vocabulary, text, each, begin)
        lengths.append(length)
        tokens.append(count)
    right_ones = np.array([a == each.answer for a, each in zip(answers, asked, strict=True)])
    usual, share = usual_answer(asked)
    found = slope(np.array(lengths, float), np.array(margins, float), request.seed)
    return CharactersResult(
        word=tuple(each.word for each in asked),
        letter=tuple(each.letter for each in asked),
        answer=np.array([each.answer for each in asked], np.int32),
        said=np.array(answers, np.int32),
        margin_nats=np.array(margins, np.float32),
        token_length=np.array(lengths, np.int32),
        word_tokens=np.array(tokens, np.int32),
        accuracy=float(right_ones.mean()),
        usual_answer=usual,
        usual_accuracy=share,
        slope_nats=found[0],
        slope_low_nats=found[1],
        slope_high_nats=found[2],
    )


def _scores(
    loaded: LoadedModel,
    vocabulary: Vocabulary,
    text: str,
    asked: Question,
    limit: int,
    step: Callable[[], None],
) -> np.ndarray:
    """Return ln p of each candidate after the prompt; one pass where only their last token differs.

    What the tokenizer makes of prompt and candidate together is scored, from where they differ.
    """
    whole = vocabulary.engine.encode([f"{text} {number}" for number in asked.candidates])
    before = beginning(loaded)
    if len(before) + max(map(len, whole)) > limit:
        raise ValueError(f"a question is {max(map(len, whole))} tokens, the limit is {limit}")
    if len({tuple(ids[:-1]) for ids in whole}) == 1:
        context = torch.tensor([[*before, *whole[0][:-1]]], device=loaded.device)
        state = loaded.body(input_ids=context, use_cache=False).last_hidden_state[0, -1:]
        logits = torch.log_softmax(loaded.unembed(state)[0].float(), -1)
        return logits[[ids[-1] for ids in whole]].cpu().numpy()
    shared = _shared(whole)
    return np.array([-surprisals(loaded, ids, before, step)[shared:].sum() for ids in whole])


def _shared(rows: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all rows begin with."""
    least = min(map(len, rows))
    return next((n for n in range(least) if len({row[n] for row in rows}) > 1), least)


def _token_of(vocabulary: Vocabulary, text: str, asked: Question, begin: int) -> tuple[int, int]:
    """Return the letters of the word in the token that holds the letter, and the word's tokens."""
    reading = read(vocabulary, text)
    spans = segmentation_of(reading, reading.native).spans
    start = len(text[:begin].encode())
    stop, place = start + len(asked.word), start + asked.first
    inside = spans[(spans[:, 0] < stop) & (spans[:, 1] > start)]
    low, high = inside[(inside[:, 0] <= place) & (inside[:, 1] > place)][0].tolist()
    return min(high, stop) - max(low, start), len(inside)
