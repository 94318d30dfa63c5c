"""Filler text of an exact number of tokens, with other sentences hidden in it."""

from collections.abc import Sequence

from tokenarium.backend.benchmark.prose import sentences
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.ordinary import leading_bos


def encode(loaded: LoadedModel, text: str) -> list[int]:
    """Return the tokens of a piece of text, nothing added; special tokens are plain characters."""
    encoded = loaded.tokenizer(
        text, add_special_tokens=False, split_special_tokens=True, truncation=False, verbose=False
    )
    return [int(key) for key in encoded["input_ids"]]


def ask(
    loaded: LoadedModel,
    question: str,
    answer: str,
    others: Sequence[str] = (),
    before: Sequence[int] = (),
) -> tuple[list[int], list[int], tuple[int, ...]]:
    """Return the tokens of a question and its answer, and the first tokens of other answers.

    Tokens ``before`` the question belong to it. Where a tokenizer makes the space before the answer
    a token of its own, it belongs to the question too: every answer begins with it.
    """
    asked, said, *wrong = (encode(loaded, text) for text in (question, answer, *others))
    asked = [*before, *asked]
    while len(said) > 1 and not str(loaded.tokenizer.decode(said[:1])).strip():
        asked.append(said.pop(0))
        wrong = [tokens[1:] for tokens in wrong]
    first = {tokens[0] for tokens in wrong if tokens} - {said[0]}
    return asked, said, tuple(sorted(first))


def haystack(
    loaded: LoadedModel,
    length: int,
    needles: Sequence[tuple[float, Sequence[int]]],
    seed: int,
    start: Sequence[int] | None = None,
) -> list[int]:
    """Return exactly ``length`` tokens of filler with needles between its sentences.

    The first sentence is cut at its front, so that the length comes out; a needle goes to the
    sentence boundary nearest its depth, and those at one boundary stand as they were given.

    Args:
        length: tokens in all, BOS and needles included.
        needles: (depth from 0, the start, to 1, the end; tokens).
        seed: of the filler.
        start: what stands before all of it; None for BOS where the tokenizer begins texts with it.
    Raises:
        ValueError: if the needles do not fit.
    """
    start = leading_bos(loaded) if start is None else list(start)
    room = length - len(start) - sum(len(tokens) for _, tokens in needles)
    if room < 0:
        raise ValueError(
            f"length={length} leaves no room for what the task hides: raise length to at least "
            f"{length - room}"
        )
    filler = _filler(loaded, room, seed)
    boundaries = [0]
    for sentence in filler:
        boundaries.append(boundaries[-1] + len(sentence))
    placed: list[list[int]] = [[] for _ in boundaries]
    for depth, tokens in needles:
        nearest = min(range(len(boundaries)), key=lambda b: abs(boundaries[b] - depth * room))
        placed[nearest].extend(tokens)
    text = start + placed[0]
    for sentence, hidden in zip(filler, placed[1:], strict=True):
        text += sentence + hidden
    return text


def _filler(loaded: LoadedModel, room: int, seed: int) -> list[list[int]]:
    """Return sentences of ``room`` tokens together."""
    filler: list[list[int]] = []
    total = 0
    source = sentences(seed)
    while total < room:
        filler.append(encode(loaded, next(source)))
        total += len(filler[-1])
    if filler:
        filler.insert(0, filler.pop()[total - room :])
    return filler
