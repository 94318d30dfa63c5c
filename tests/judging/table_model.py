"""A model that is a table: what follows a token depends on that token alone."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tokenarium.backend.judging.measure import Measure
from tokenarium.backend.judging.passage import Passage
from tokenarium.backend.judging.reading import reduce_rows


class Letters:
    """A tokenizer of the letters a, b, c, ...; blanks are nothing."""

    bos_token_id = None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) - 97 for letter in text if letter != " "]}


class Table:
    """Probabilities [V, V] of the next token by the last one, read as a model is.

    States are one-hot, the unembedding is the logarithm of the table.
    """

    def __init__(self, probs: Sequence[Sequence[float]] | np.ndarray) -> None:
        self.probs = torch.tensor(np.asarray(probs), dtype=torch.float32)
        self.reads: list[list[int]] = []
        self.loaded: Any = SimpleNamespace(
            unembed=lambda states: states @ self.probs.log().clamp_min(-60),
            tokenizer=Letters(),
            device=torch.device("cpu"),
            fingerprint=str(id(self)),
        )

    def read(self, ids: Sequence[int]) -> torch.Tensor:
        self.reads.append(list(ids))
        return torch.eye(len(self.probs))[list(ids)]

    def passage(self, measure: Measure, ids: Sequence[int], first: int = 1) -> Passage:
        """Return the passage of a text, of which the tokens from ``first`` on are judged."""
        states, places = self.read(ids), np.arange(first, len(ids))
        found = reduce_rows(
            self.loaded, states, ids, places, [measure], seed=0, step=lambda *_: None
        )
        return Passage(
            ids=np.asarray(ids, np.int64),
            texts=tuple(map(str, ids)),
            places=places,
            surprisal=found.surprisal,
            entropy=found.entropy,
            varentropy=found.varentropy,
            drawn_ids=found.drawn_ids,
            drawn_log_probs=found.drawn_log_probs,
            rows=found.rows[measure.slug],
            seed=0,
            states=states,
            loaded=self.loaded,
            read=self.read,
        )
