"""Plain decoding by the same reader: what speculation is measured against."""

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.models.generating import wait
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.drafting import draw
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.stopping import Stopping


@torch.inference_mode()
def decode_plainly(
    target: TreeReader,
    prompt: list[int],
    processors: Processors,
    stopping: Stopping,
    random: np.random.Generator,
    tell: Callable[[int], None] = lambda _: None,
) -> tuple[list[int], NDArray[np.float32]]:
    """Continue a prompt one token at a time.

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
            law = processors.law(logits[None], [prompt + found])[0]
            token = int(law.argmax()) if processors.greedy else draw(law, float(random.random()))
        wait(target.loaded.device)
        took.append((time.perf_counter() - start) * 1e3)
        reason = stopping.cut(found, [token])[1]
        found.append(token)
        tell(len(found))
    return found, np.asarray(took, np.float32)
