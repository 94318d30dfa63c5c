"""ACT's search for heads, over full matrices head by head, and on a planted head."""

import numpy as np
import pytest
import torch

from tests.interventions import oracle
from tests.interventions.test_methods import calibrated
from tests.judging.conftest import passage_of
from tokenarium.backend.judging.judgement import Null
from tokenarium.backend.judging.measures.act_heads import ActHeads
from tokenarium.backend.judging.passage import Passage

IDS = torch.randint(10, 200, (22,), generator=torch.Generator().manual_seed(3)).tolist()


def passage(loaded) -> Passage:
    even = np.full((len(IDS) - 1, 256), 1 / 256)
    return Passage(**{**vars(passage_of(even, IDS)), "loaded": loaded})


def surprisal(twin, heads, threshold, factor):
    def edit(module, weights, q, k):
        chosen = [head for layer, head in heads if layer == module.layer_idx]
        rows = [
            calibrated(w, threshold, factor) if h in chosen else w for h, w in enumerate(weights)
        ]
        return torch.stack(rows)

    return oracle.run(twin, IDS, edit).surprisal[1:]


def test_heads_are_kept_by_the_first_half_and_scored_by_the_second(twins):
    loaded, twin = twins("llama")
    measure = ActHeads(every=1, threshold=0.06, factor=0.2)
    found = measure.judge(passage(loaded))
    tried = [(layer, head) for layer in range(3) for head in range(4)]
    plain, half = surprisal(twin, [], 0.06, 0.2), (len(IDS) - 1) // 2
    alone = {head: (plain - surprisal(twin, [head], 0.06, 0.2))[:half].mean() for head in tried}
    kept = [head for head in tried if alone[head] > 1e-7]
    assert 0 < len(kept) < len(tried)
    together = plain - surprisal(twin, kept, 0.06, 0.2)
    np.testing.assert_allclose(found.token_score, together, atol=1e-5)
    assert found.score == pytest.approx(together[half:].mean(), abs=1e-6)
    best = max(alone, key=lambda head: alone[head])
    assert (found.details["best_layer"], found.details["best_head"]) == best
    assert found.details["heads_kept"] == len(kept)
    assert found.details["searched_nats"] == pytest.approx(together[:half].mean(), abs=1e-6)
    every = (plain - surprisal(twin, tried, 0.06, 0.2))[half:].mean()
    assert found.details["every_nats"] == pytest.approx(every, abs=1e-6)
    assert not found.marked[:half].any()


def test_a_planted_head_is_found(twins, monkeypatch):
    """Only in the head 1.2 does calibration help, by .3 nats a token; elsewhere it harms."""
    loaded, _ = twins("llama")
    worth = {(1, 2): 0.3, (0, 1): -0.1, (2, 3): -0.2}

    def told(self, passage, heads):
        return 5.0 - sum(worth.get(head, 0.0) for head in heads) * np.ones(len(passage))

    monkeypatch.setattr(ActHeads, "surprisal", told)
    found = ActHeads(every=1).judge(passage(loaded))
    assert found.score == pytest.approx(0.3)
    assert (found.details["heads_kept"], found.details["heads_tried"]) == (1, 12)
    assert found.details["every_nats"] == pytest.approx(0.0)
    assert "1 of 12 heads help the first half, most of all (layer.head) 1.2" in found.notes[0]
    assert found.null.mean < 0.3
    worth.clear()
    nothing = ActHeads(every=1).judge(passage(loaded))
    assert (nothing.score, nothing.details["heads_kept"]) == (0, 0)
    assert nothing.null == Null(0, 0, 0, 1)


def test_layers_are_searched_one_in_so_many_without_the_ends(deep_judged):
    assert {layer for layer, _ in ActHeads(every=1).heads(passage(deep_judged))} == {2, 3, 4}
    assert {layer for layer, _ in ActHeads(every=2).heads(passage(deep_judged))} == {2, 4}


@pytest.fixture
def deep_judged():
    from types import SimpleNamespace

    from transformers import LlamaConfig

    config = LlamaConfig(num_hidden_layers=6, num_attention_heads=4, hidden_size=32)
    return SimpleNamespace(model=SimpleNamespace(config=config))
