"""What tokens cost a model that reads several earlier ones as one vector: the mean of embeddings.

The text of units is read once, as a chain. Beside it stand the tokens inside of units, which see
the units before theirs and each other, and which nothing later sees. So every token has a
probability, and the tokens are those of the tokenizer's own segmentation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.tokenization.scoring import ROWS
from tokenarium.kernels.vocab_stats import vocab_stats

MOST_NODES = 4_096
"""Vectors of one pass: what each sees is a table of their square."""
_TRIED, _NEAR = 8, 1e-3
"""Tokens read by embedding and by id once, and how far states may be apart, of the largest."""


@dataclass(frozen=True)
class Nodes:
    """What is read after the beginning of a text: units as a chain, tokens inside beside it."""

    parents: tuple[int, ...]
    """[N] node before each; -1 for the beginning."""
    spans: tuple[tuple[int, int], ...]
    """[N] [start, stop) of the tokens whose mean is read: several for a unit that is over."""
    before: tuple[int, ...]
    """[n] node after which each token is predicted; -1 for the beginning."""


def nodes_of(units: Sequence[int]) -> Nodes:
    """Return what is read of units, by the number of tokens of each.

    ``[1, 2]``, of tokens a and b c: a; b after a; and the mean of b and c after a.
    """
    parents, spans, before = [], [], []
    last = -1
    for stop, size in zip(accumulate(units), units, strict=True):
        start, node = stop - size, last
        for token in range(start, stop):
            before.append(node)
            if token < stop - 1:
                parents.append(node)
                spans.append((token, token + 1))
                node = len(parents) - 1
        parents.append(last)
        spans.append((start, stop))
        last = len(parents) - 1
    return Nodes(tuple(parents), tuple(spans), tuple(before))


@torch.inference_mode()
def merged_surprisals(
    loaded: LoadedModel,
    ids: Sequence[int],
    units: Sequence[int],
    before: Sequence[int],
    step: Callable[[], None],
) -> NDArray[np.float32]:
    """Return [n] -ln p of each token, given units before its own and tokens inside of that.

    Args:
        loaded: the model.
        ids: n tokens.
        units: number of tokens of each unit; they add up to n.
        before: tokens that stand before them, one at least.
        step: called in every layer and for every block of rows; raises to stop.

    Raises:
        ValueError: if the model cannot read vectors so, or they are too many.
    """
    nodes = nodes_of(units)
    if not before:
        raise ValueError("the model has no token to begin a text with")
    if len(nodes.parents) > MOST_NODES:
        raise ValueError(
            f"units and the tokens inside them are {len(nodes.parents):,} vectors, at most "
            f"{MOST_NODES:,} are read"
        )
    vectors = _embedded(loaded, ids, before, step)
    read = torch.stack([vectors[start:stop].mean(0) for start, stop in nodes.spans])
    reader = TreeReader(loaded, len(before) + len(read), step)
    begin = reader.extend_states(before)[-1:]
    states = reader.read_states([before[0]] * len(read), nodes.parents, embeddings=read)
    states = torch.cat([begin, states])[torch.tensor(nodes.before, device=states.device) + 1]
    found = np.empty(len(ids), np.float32)
    targets = torch.tensor(list(ids), device=states.device)
    for start in range(0, len(ids), ROWS):
        step()
        rows = slice(start, start + ROWS)
        stats = vocab_stats(loaded.unembed(states[rows]), targets=targets[rows])
        assert stats.surprisal is not None
        found[rows] = stats.surprisal.float().cpu().numpy()
    return found


def _embedded(
    loaded: LoadedModel, ids: Sequence[int], before: Sequence[int], step: Callable[[], None]
) -> Tensor:
    """Return [n, hidden] the embeddings of tokens, which a few are tried to be all that is read.

    Raises:
        ValueError: if the model reads more of a token than its embedding.
    """
    embedding = loaded.model.get_input_embeddings()
    tokens = torch.tensor([*before, *ids], device=loaded.device)
    vectors: Tensor = embedding(tokens)
    few = tokens[:_TRIED].tolist()
    by_id = TreeReader(loaded, len(few), step).extend_states(few)
    by_vector = TreeReader(loaded, len(few), step).extend_states(few, vectors[:_TRIED])
    if (by_vector - by_id).abs().max() > _NEAR * by_id.abs().max():
        raise ValueError(f"{loaded.name} reads more of a token than its embedding")
    return vectors[len(before) :]
