"""A second, small model beside the one that writes: it reads the same text when it is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from tokenarium.backend.decoding.calibration import Calibration
from tokenarium.backend.decoding.next_token import NextToken
from tokenarium.backend.decoding.pipeline import Pipeline
from tokenarium.backend.decoding.stepper import Counters, Stepper


@dataclass
class Second:
    """What a small model says after a text, and what that cost.

    Its passes are counted by themselves, that over the prompt not.
    """

    stepper: Stepper
    """Over the small model; nothing was read with it yet."""
    new: Callable[[], list[int]]
    """New tokens of the lane as they stand."""
    prompt: Sequence[int]
    """What is read before them; a strategy may set another one before it asks."""
    counters: Counters = field(init=False)
    """Passes and tokens read since the prompt."""
    _known: dict[int, NextToken] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.counters = self.stepper.counters

    @property
    def now(self) -> NextToken:
        """What the small model says after the text; reads, in one pass, what it has not read."""
        text = [*self.prompt, *self.new()]
        logits = self._after(text)
        if len(text) not in self._known:
            self._known = {len(text): NextToken(logits, text, Pipeline(), True)}
        return self._known[len(text)]

    def calibrated(self, plain: Calibration) -> Calibration:
        """Return how unsure the small model is along the text of plain decoding; one pass.

        Args:
            plain: with that text; without one it is returned as it is.
        """
        if not plain.tokens:
            return plain
        said = self.along(plain.tokens)
        return Calibration(
            np.array([one.entropy_nats for one in said], np.float32),
            np.array([one.varentropy_nats2 for one in said], np.float32),
        )

    def along(self, tokens: Sequence[int]) -> list[NextToken]:
        """Return what it says before each of some tokens after the prompt; one pass."""
        self._after([*self.prompt, *tokens])
        path, said = [*self.prompt], []
        for row, token in zip(self.stepper.logits_before(len(tokens)), tokens, strict=True):
            said.append(NextToken(row, [*path], Pipeline(), True))
            path.append(token)
        return said

    def _after(self, text: Sequence[int]) -> Tensor:
        """Return the logits [V] after a text that begins with the prompt."""
        stepper = self.stepper
        if not stepper.ids:
            stepper.begin(self.prompt)
        shared = len(self.prompt)
        while shared < min(len(text), len(stepper.ids)) and text[shared] == stepper.ids[shared]:
            shared += 1
        if back := len(stepper.ids) - shared:
            stepper.rewind(back)
            self._known = {}
        if len(text) > shared:
            self._known = {}
            stepper.feed(list(text[shared:]))
        return stepper.logits
