"""One pass over prompt and text, and from it what the model would have said at every token."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader
from tokenarium.backend.speculation.distribution import Processors

ROWS = 32
"""Tokens whose logits are held at once."""


@dataclass(frozen=True)
class Rows:
    """Some generated tokens, in order; n of them."""

    start: int
    """Index of the first among the generated tokens."""
    ids: Tensor
    """[n] the tokens given."""
    logits: Tensor
    """[n, V] before each, repetition penalty applied, float32."""
    probs: Tensor
    """[n, V] what each was drawn from, float64; at temperature 0 the softmax at temperature 1."""


def rows_of(
    loaded: LoadedModel,
    prompt: Sequence[int],
    generated: Sequence[int],
    processors: Processors,
    check: Callable[[], None],
) -> Iterator[Rows]:
    """Read prompt and text once, and yield what the model says before each generated token.

    Args:
        loaded: nobody else uses it meanwhile.
        prompt: tokens before.
        generated: tokens to judge.
        processors: what was done to logits.
        check: called in every layer; raises to stop.
    """
    text = [*prompt, *generated]
    warm = Processors(1.0) if processors.greedy else replace(processors, repetition_penalty=1.0)
    reader = PlainReader(loaded, text[:-1], check=check)
    for start in range(0, len(generated), ROWS):
        ids = generated[start : start + ROWS]
        first = len(prompt) + start
        logits = reader.along(first - 1, first - 1 + len(ids))
        paths = None
        if processors.repetition_penalty != 1:
            paths = [text[: first + at] for at in range(len(ids))]
        logits = processors.with_penalty(logits, paths)
        probs = warm.probs(logits).double()
        yield Rows(start, torch.tensor(ids, device=logits.device), logits, probs)
        check()
