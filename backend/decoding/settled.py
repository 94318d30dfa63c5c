"""From where on an answer no longer changes: the premise of ending a reasoning early."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tokenarium.backend.decoding.drawing import Drawing, Series
from tokenarium.backend.decoding.premise import Premise

if TYPE_CHECKING:
    from tokenarium.backend.decoding.lane import Lane

MOST_CUTS = 6
"""Places of plain decoding at which the answer is asked for."""
LEAST_CUTS = 3


def settled(claim: str, lane: "Lane", ask: Callable[[], list[int]], answer_tokens: int) -> Premise:
    """Ask for the answer at even places of plain decoding, and compare each with the last one.

    The premise holds where the last two answers, at least, are the same.

    Args:
        claim: what the strategy builds on.
        lane: at the end of the prompt; plain decoding is its calibration.
        ask: returns the answer, in tokens, after the text as it stands.
        answer_tokens: that asking reads; 0 where there is nothing to ask with.
    """
    tokens = lane.calibration.tokens
    last = min(len(tokens) - 1, lane.room - answer_tokens - 1)
    cuts = np.unique(np.linspace(0, last, MOST_CUTS).astype(int)).tolist() if last > 0 else []
    if not answer_tokens or len(cuts) < LEAST_CUTS:
        return Premise(
            claim,
            f"the exit string and an answer take {answer_tokens} tokens, plain decoding took "
            f"{len(tokens)}: there is no room for {LEAST_CUTS} answers",
        )
    answers = []
    for cut in cuts:
        lane.give(tokens[lane.step : cut])
        answers.append(ask())
    same = [answer == answers[-1] for answer in answers]
    first = max((place + 1 for place, one in enumerate(same) if not one), default=0)
    series = [Series("same as the last answer", [*map(float, cuts)], [*map(float, same)])]
    if lane.right is not None:
        right = [lane.right(answer) for answer in answers]
        series.append(Series("right answer", [*map(float, cuts)], [*map(float, right)]))
        series.append(Series("reward of an exit", [*map(float, cuts)], rewards(right)))
    said = f"after {cuts[first]} of {cuts[-1]} tokens the answer is {lane.spell(answers[-1])!r}"
    return Premise(
        claim,
        f"{said} and stays so" if first < len(cuts) - 1 else f"{said}, which it was not before",
        first / (len(cuts) - 1),
        (len(cuts) - 2) / (len(cuts) - 1),
        drawing=Drawing(
            "Answers along plain decoding", "tokens of plain decoding read", "1 yes, 0 no",
            tuple(series),
        ),
    )  # fmt: skip


def rewards(right: Sequence[bool]) -> list[float]:
    """Return what each exit earns: the j-th right one from the front 2^(1 - j), a wrong one 0.

    Source: Dai et al., 2025, arXiv:2505.07686.
    """
    count, found = 0, []
    for one in right:
        count += one
        found.append(2.0 ** (1 - count) if one else 0.0)
    return found
