"""Products of the gradients that tokens give the unembedding, without any gradient."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.judging.judgement import Numbers
from tokenarium.backend.judging.passage import Passage

BLOCK = 64
DRAWS = 64
"""Drawings of the text: each is compared with every answer token."""


@dataclass(frozen=True)
class Influence:
    """Sums over answer tokens k of <e(x_k) - p_k, e(x_j) - p_j> <h_k, h_j>."""

    others: Numbers
    """[n] over k other than j."""
    own: Numbers
    """[a] of each answer token with itself."""
    drawn: Numbers
    """[D, n] with other tokens in the place of x_j, over k other than j."""


def influence(passage: Passage, answer: int) -> Influence:
    """Return what a step on each token's ln p does to that of the last ``answer`` tokens.

    With U the unembedding, the gradient of ln p(x_k) is (e(x_k) - p_k) h_k^T, so that the product
    of two is that of the differences times that of the states.
    """
    assert passage.states is not None
    assert passage.loaded is not None
    count = len(passage)
    places = torch.as_tensor(passage.places)
    ids = torch.as_tensor(passage.ids[passage.places])
    states = passage.states[places - 1].float()
    others, own = torch.zeros(count), torch.zeros(count)
    tokens = torch.as_tensor(passage.drawn_ids[:DRAWS].astype(np.int64))
    drawn = torch.zeros(len(tokens), count)
    unembed = passage.loaded.unembed
    for first in range(count - answer, count, BLOCK):
        k = slice(first, min(first + BLOCK, count))
        answers = torch.softmax(unembed(passage.states[places[k] - 1]).float(), -1)
        for start in range(0, count, BLOCK):
            j = slice(start, min(start + BLOCK, count))
            probs = torch.softmax(unembed(passage.states[places[j] - 1]).float(), -1)
            # -p_j(x_k) + p_k . p_j does not depend on x_j.
            fixed = answers @ probs.T - probs[:, ids[k]].T
            alike = states[k] @ states[j].T
            same = torch.arange(k.start, k.stop)[:, None] == torch.arange(j.start, j.stop)
            weight = alike * ~same
            product = fixed + _with(answers, ids[k], ids[None, j])[0]
            others[j] += (product * weight).sum(0)
            own[j] += (product * alike * same).sum(0)
            moved = fixed + _with(answers, ids[k], tokens[:, j])
            drawn[:, j] += (moved * weight).sum(1)
    return Influence(
        others.double().numpy(), own[count - answer :].double().numpy(), drawn.double().numpy()
    )


def _with(answers: Tensor, right: Tensor, tokens: Tensor) -> Tensor:
    """Return [D, a, b] 1(x_k = token) - p_k(token).

    Args:
        answers: [a, V] distributions p_k.
        right: [a] tokens x_k.
        tokens: [D, b].
    """
    taken = answers[:, tokens].transpose(0, 1)
    return (right[None, :, None] == tokens[:, None]).float() - taken
