"""SirLLM against full matrices."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from tests.cache.policies.twin import Twin, check_same, holding, kept_live, view
from tests.interventions import oracle
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.sirllm import SirLLM


@dataclass
class Surprised(Twin):
    """Chooses by surprisal once the step is read, for all layers alike."""

    def after(self, expected: oracle.Expected) -> None:
        surprisal = torch.from_numpy(expected.surprisal).nan_to_num(torch.inf)
        for layer in range(len(self.seen)):
            self.drop(layer, surprisal.expand(2, -1))


@pytest.mark.parametrize(
    ("budget", "sink", "share", "newest"), [(12, 4, 0.25, 2), (9, 0, 0.5, 4), (10, 2, 0.0, 0)]
)
def test_keeps_first_surprising_and_newest(twins, budget, sink, share, newest):
    loaded, model = twins("llama")
    policy = SirLLM(positions="original", sink=sink, recent_share=share)
    live = list(kept_live(loaded, policy, budget))
    assert live == list(Surprised(model, budget, first=sink, newest=newest).run())
    assert all(head == step[0][0] for step in live for layer in step for head in layer)


def test_surprisal_is_that_of_the_token_itself(twins):
    """Over a long prompt, which is heard in pieces, then a turn and single tokens."""
    loaded, model = twins("llama")
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(10, 200, (320,), generator=draw).tolist()
    sequence = CachedSequence(loaded, SirLLM(), 400)
    for start, stop in ((0, 300), (300, 301), (301, 310), (310, 311), (311, 320)):
        sequence.read(ids[start:stop])
    expected = oracle.run(model, ids).surprisal
    for cache in sequence.layers:
        assert cache.turns == (0, 301, 311)
        np.testing.assert_allclose(cache.surprisal.numpy(), expected, rtol=1e-4, atol=1e-4)


def test_rolled_keys_give_one_choice_for_the_model(twins):
    loaded, _ = twins("llama")
    once, again = (list(kept_live(loaded, SirLLM(), 12)) for _ in range(2))
    as_they_stood = list(kept_live(loaded, SirLLM(positions="original"), 12))
    assert once[0] == as_they_stood[0]
    assert once != as_they_stood  # later surprisals depend on where the keys stand
    assert once == again
    for length, step in enumerate(once, 24):
        assert all(head == step[0][0] for layer in step for head in layer)
        assert step[0][0][:4] == [0, 1, 2, 3]
        assert step[0][0][-2:] == [length - 2, length - 1]


def test_earlier_turns_fade():
    policy = SirLLM(sink=0, recent_share=0, fading=0.5)
    cache = holding(6, 3)
    cache.surprisal = torch.tensor([float("nan"), 8, 3, 3, 1, 1.5])
    cache.turns = (0, 3, 5)
    # 8 and 3 fade twice, the 3 and 1 of the second turn once.
    wanted = [[float("inf"), 2, 0.75, 1.5, 0.5, 1.5]]
    assert policy.scores(view(cache, policy)).tolist() == wanted
    assert policy.kept(view(cache, policy), 3).indices[0].tolist() == [0, 1, 3]
    policy = SirLLM(sink=0, recent_share=0)
    assert policy.kept(view(cache, policy), 4).indices[0].tolist() == [0, 1, 2, 3]


def test_sinks_and_newest_stay():
    policy = SirLLM(sink=2, recent_share=0.5)
    cache = holding(8, 6)
    cache.surprisal = torch.tensor([float("nan"), 0, 5, 6, 7, 0, 0, 0])
    assert policy.kept(view(cache, policy), 6).indices[0].tolist() == [0, 1, 3, 4, 6, 7]
    assert policy.smallest_budget() == 3


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    loaded, model = twins("llama")
    policy = SirLLM(positions="original", sink=4, recent_share=0.25)
    check_same(kept_live(loaded, policy, 12), Surprised(model, 12, first=4, newest=2).run())


def test_sirllm_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
