"""Turn text files into one array of token ids, and that array into training windows."""

import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

SEPARATOR = "<|document|>"


def read_documents(path: Path) -> Iterator[str]:
    """Yield the documents of a ``.txt`` or ``.txt.xz`` file, split at ``<|document|>`` lines."""
    reader = lzma.open if path.suffix == ".xz" else open
    with reader(path, "rt", encoding="utf-8") as file:
        lines: list[str] = []
        for line in file:
            if line.strip() == SEPARATOR:
                yield "".join(lines).strip()
                lines = []
            else:
                lines.append(line)
        yield "".join(lines).strip()


def encode(tokenizer: PreTrainedTokenizerFast, documents: Iterator[str]) -> NDArray[np.uint16]:
    """Encode documents, one end-of-text token after each, as one array [N] of token ids."""
    eos = np.asarray([tokenizer.eos_token_id], np.uint16)
    parts: list[NDArray[np.uint16]] = []
    for text in documents:
        if text:
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            parts += [np.asarray(ids, np.uint16), eos]
    return np.concatenate(parts)


class Windows:
    """Shuffled, non-overlapping training windows, each beginning with the BOS token.

    The BOS token at position 0 of every window is what lets attention sinks settle there
    (Gu et al., 2024, arXiv:2410.10781). Window ``i`` is a pure function of the seed, so that a
    resumed run continues exactly where it stopped.
    """

    def __init__(self, ids: NDArray[np.uint16], length: int, bos: int, seed: int = 0) -> None:
        self.ids, self.length, self.bos, self.seed = ids, length, bos, seed
        self.count = len(ids) // (length - 1)
        if self.count < 1:
            raise ValueError(
                f"length={length} needs at least {length - 1} tokens, the data has {len(ids)}: "
                "shorten the windows or add text"
            )

    def batch(self, start: int, size: int) -> torch.Tensor:
        """Return windows ``start`` to ``start + size - 1`` as int64 [size, length]."""
        rows = np.full((size, self.length), self.bos, np.int64)
        for row, index in enumerate(range(start, start + size)):
            epoch, place = divmod(index, self.count)
            first = self._order(epoch)[place] * (self.length - 1)
            rows[row, 1:] = self.ids[first : first + self.length - 1]
        return torch.from_numpy(rows)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if getattr(self, "_epoch", None) != epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(self.count)
        return self._permutation
