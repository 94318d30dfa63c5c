"""A step of a strategy's own, before all others: logits of the model become other logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from tokenarium.backend.decoding.pipeline import Pipeline, Stage

Change = Callable[[Tensor, Sequence[int]], Tensor]
"""Logits [V] and the path before them, to logits [V]; -inf for what may not follow."""


@dataclass(frozen=True)
class ChangedLogits(Pipeline):
    """The steps of another pipeline after one that is named."""

    name: str = ""
    change: Change = field(default=lambda logits, _: logits)
    after: Pipeline = field(default_factory=Pipeline)
    """The steps that follow."""

    @staticmethod
    def before(after: Pipeline, name: str, change: Change) -> "ChangedLogits":
        """Return a pipeline that changes logits, then does what another one does."""
        known = {one.name: getattr(after, one.name) for one in fields(Pipeline)}
        return ChangedLogits(**known, name=name, change=change, after=after)

    @property
    def names(self) -> tuple[str, ...]:
        """The model's own distribution, the changed one, and the steps that follow."""
        model, *others = self.after.names
        return (model, self.name, *others)

    def stages(self, logits: Tensor, probs: Tensor, path: Sequence[int]) -> list[Stage]:
        """Return the distributions after every step."""
        changed = self.change(logits, path)
        own = torch.softmax(changed, -1)
        _, *others = self.after.stages(changed, own, path)
        return [Stage("model", probs), Stage(self.name, own), *others]
