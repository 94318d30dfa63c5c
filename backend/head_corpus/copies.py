"""How much each head looks at earlier copies of a text's own tokens, and at what followed them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.backend.runs.events import CancelToken
from tokenarium.kernels.attention_stats import Want, attention_stats

Floats = NDArray[np.float32]


def earlier_copies(ids: Sequence[int], after: int) -> NDArray[np.bool_]:
    """Return [T, T] which keys count for which query.

    A key j + ``after`` counts for a query i where j < i is an earlier copy of its token. The first
    token is no such key, as heads rest on it whatever it is, and neither is the query itself.

    >>> earlier_copies([1, 2, 3, 4, 2, 3], after=1).nonzero()
    (array([4, 5]), array([2, 3]))

    Args:
        ids: T token ids.
        after: 0 for the copies (echo), 1 for the tokens that followed them (induction).
    """
    token = np.asarray(ids)
    query, copy = np.nonzero(np.tril(token[:, None] == token[None], -1))
    key = copy + after
    counts = (key > 0) & (key < query)
    found = np.zeros((len(token), len(token)), np.bool_)
    found[query[counts], key[counts]] = True
    return found


@torch.inference_mode()
def copy_scores(
    loaded: LoadedModel, ids: Sequence[int], heads: int, cancel: CancelToken
) -> dict[str, Floats]:
    """Return ``echo`` and ``induction`` of every head in one text, [L, H] each.

    A score is the mean, over the queries with such a key, of the weight on all keys of
    ``earlier_copies``. It is NaN where no query has one.

    Args:
        ids: T token ids, read as they are.
        heads: H, most query heads of a layer.
        cancel: checked in every layer.

    Raises:
        Cancelled: if it was cancelled.
    """
    keys = {"echo": earlier_copies(ids, 0), "induction": earlier_copies(ids, 1)}
    watch = _Copies(keys, len(loaded.layers), heads, cancel)
    with recording(watch):
        loaded.body(input_ids=torch.tensor([list(ids)], device=loaded.device), use_cache=False)
    return watch.scores


class _Copies(Recorder):
    """Means each head's weights over the keys that count."""

    def __init__(
        self, keys: dict[str, NDArray[np.bool_]], layers: int, heads: int, cancel: CancelToken
    ) -> None:
        super().__init__()
        self._keys, self._cancel = keys, cancel
        self.scores = {name: np.full((layers, heads), np.nan, np.float32) for name in keys}
        self._length = len(next(iter(keys.values())))

    def attend(self, call: AttentionCall) -> Tensor:
        """Attend as the model does, and keep the layer's scores."""
        self._cancel.check()
        # All diagonals are the whole matrix, T x T: texts are short.
        out, stats = attention_stats(call.inputs(), Want(diagonals=tuple(range(self._length))))
        assert stats.diagonals is not None
        weights = stats.diagonals.cpu().numpy()  # [H, distance, query]
        for name, keys in self._keys.items():
            query, key = np.nonzero(keys)
            if len(query):
                mass = weights[:, query - key, query].sum(-1) / len(np.unique(query))
                self.scores[name][call.layer, : len(mass)] = mass
        return out[None]
