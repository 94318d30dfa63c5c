"""Contrastive search weighs a token's probability against how like its state is to those before."""

import torch
import torch.nn.functional as F

from tests.decoding.table import random_table, written
from tokenarium.backend.decoding.strategies.contrastive import Contrastive


def test_it_takes_the_candidate_with_the_best_score() -> None:
    table = random_table(6, 4)
    alpha, count = 0.6, 3
    lane = written(Contrastive(alpha=alpha, candidates=count), table, most=8)
    path, changed = [0, 1], 0
    for token in lane.new:
        states = torch.stack([table[path[i - 1] if i else 0, path[i]] for i in range(len(path))])
        probs = states[-1].softmax(-1)
        scores = {}
        for candidate in probs.topk(count).indices.tolist():
            state = table[path[-1], candidate]
            alike = F.cosine_similarity(states, state[None], dim=-1).max()
            scores[candidate] = float((1 - alpha) * probs[candidate] - alpha * alike)
        assert token == max(scores, key=scores.__getitem__)
        changed += token != int(probs.argmax())
        path.append(token)
    assert changed, "the penalty never decided"
    assert lane.spent_in_all == (8, 8 * count)
