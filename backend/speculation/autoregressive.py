"""Autoregressive decoding by the same reader, a token a pass: what speculation is compared with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.models.generating import end_of_text, wait
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors, sample_one
from tokenarium.backend.speculation.reader import TreeReader

Reason = Literal["", "end", "length", "stop"]
"""Why a text ended: not yet, an end-of-text token, its length, or a string to stop at."""


@dataclass(frozen=True)
class StoppingCriteria:
    """When to stop, and how many of a block of tokens still belong to the text."""

    loaded: LoadedModel
    max_new_tokens: int
    strings: tuple[str, ...] = ()
    """The text ends with the token that completes one of these."""

    def cut(self, before: list[int], block: list[int]) -> tuple[int, Reason]:
        """Return how many tokens of a block stay after the new tokens before it, and why."""
        ends = end_of_text(self.loaded)
        for count in range(1, len(block) + 1):
            if block[count - 1] in ends:
                return count, "end"
            if self.strings and self._complete(before + block[:count]):
                return count, "stop"
            if len(before) + count >= self.max_new_tokens:
                return count, "length"
        return len(block), ""

    def _complete(self, ids: list[int]) -> bool:
        text = str(self.loaded.tokenizer.decode(ids))
        return any(string in text for string in self.strings)


@torch.inference_mode()
def generate_autoregressive(
    target: TreeReader,
    prompt: list[int],
    processors: Processors,
    stopping: StoppingCriteria,
    random: np.random.Generator,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[int], NDArray[np.float32]]:
    """Continue a prompt one token a forward pass.

    Args:
        target: nothing was read with it yet.
        prompt: at least one token.
        progress: receives the number of new tokens after each; may raise to stop.
    Returns: the n new tokens, and [n] milliseconds that each took.
    """
    if len(prompt) > 1:
        target.extend(prompt[:-1])
    found: list[int] = []
    took: list[float] = []
    token, reason = prompt[-1], ""
    while not reason:
        start = time.perf_counter()
        logits = target.extend([token])
        if processors.greedy and processors.repetition_penalty == 1:
            token = int(logits.argmax())
        else:
            probs = processors.probs(logits[None], [prompt + found])[0]
            token = (
                int(probs.argmax())
                if processors.greedy
                else sample_one(probs, float(random.random()))
            )
        wait(target.loaded.device)
        took.append((time.perf_counter() - start) * 1e3)
        reason = stopping.cut(found, [token])[1]
        found.append(token)
        progress(len(found))
    return found, np.asarray(took, np.float32)
