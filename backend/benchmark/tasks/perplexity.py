"""Predict a text token by token."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from tokenarium.backend.benchmark.task import Exercise, Measure, Task

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel


class Perplexity(Task):
    """A text the model was not trained on; after a prompt it is read one token at a time."""

    slug: ClassVar[str] = "perplexity"
    title: ClassVar[str] = "Perplexity by position"
    explanation: ClassVar[str] = (
        "Reads a text token by token and measures how well each next token was predicted."
    )
    source: ClassVar[str] = "Xiao et al., 2023, arXiv:2309.17453"
    differs: ClassVar[str] = "by default the text is the project's own sentences, drawn at random"
    measure: ClassVar[Measure] = "text"
    has_depth: ClassVar[bool] = False
    in_chat: ClassVar[bool] = False

    predicted: int = Field(
        256, ge=1, le=65_536, description="Tokens predicted after the prompt, one at a time."
    )
    text: str = Field(
        "",
        max_length=1_000_000,
        description="Text to read, each trial another part of it; empty takes own sentences.",
    )

    def exercise(
        self, loaded: "LoadedModel", length: int, depth: float, seed: int, chat: bool = False
    ) -> Exercise:
        """Return a prompt and what follows it; ``depth`` has no meaning here."""
        from tokenarium.backend.benchmark.haystack import encode, haystack
        from tokenarium.backend.models.ordinary import leading_bos

        total = length + self.predicted
        if self.text:
            bos, read = leading_bos(loaded), encode(loaded, self.text)
            spare = len(bos) + len(read) - total
            if spare < 0:
                raise ValueError(
                    f"text gives {len(read)} tokens, {total - len(bos)} are read: give a longer "
                    "text, or lower length or predicted"
                )
            first = int(np.random.default_rng(seed).integers(0, spare + 1))
            ids = bos + read[first : first + total - len(bos)]
        else:
            ids = haystack(loaded, total, [], seed)
        return Exercise(tuple(ids[:length]), (), tuple(ids[length:]))
