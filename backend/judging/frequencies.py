"""How frequent tokens are in ordinary text, by any tokenizer."""

import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tokenarium.backend.head_corpus.texts import read_texts
from tokenarium.backend.judging.judgement import Numbers
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.structure import embedding_entries

_KEPT: "OrderedDict[str, Frequencies]" = OrderedDict()
_LOCK = threading.Lock()
_MOST = 8


@dataclass(frozen=True)
class Frequencies:
    """Counts of tokens in a corpus, with one more for each token of the vocabulary (Laplace)."""

    counts: dict[int, int]
    total: int
    """Tokens of the corpus."""
    vocabulary: int

    def log_inverse(self, ids: ArrayLike) -> Numbers:
        """Return ln 1/f of tokens, of the shape of ``ids``."""
        given = np.asarray(ids)
        counted = np.array([self.counts.get(int(key), 0) for key in given.ravel()])
        found: Numbers = np.log(self.total + self.vocabulary) - np.log(counted + 1.0)
        return found.reshape(given.shape)


def frequencies(loaded: LoadedModel) -> Frequencies:
    """Return the frequencies of a model's tokens in the texts that come with the application."""
    with _LOCK:
        if loaded.fingerprint not in _KEPT:
            counts: Counter[int] = Counter()
            for text in read_texts():
                counts.update(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])
            found = Frequencies(dict(counts), counts.total(), embedding_entries(loaded.model))
            _KEPT[loaded.fingerprint] = found
            while len(_KEPT) > _MOST:
                _KEPT.popitem(last=False)
        return _KEPT[loaded.fingerprint]
