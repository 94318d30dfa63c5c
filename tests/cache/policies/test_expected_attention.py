"""Expected Attention against its definition, written out with matrices in float64."""

import pytest
import torch
from torch import Tensor

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import EagerLayer, best, eager_layers
from tests.cache.policies.twin import holding, view
from tokenarium.backend.cache.entries import Entries
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.models.probes.positions import rotary_layers
from tokenarium.kernels.attention_stats import AttentionStats

LENGTH, BUDGET = 61, 16


def mean_rotation(model, start: int, count: int) -> Tensor:
    """[D, D], the mean over the positions of the matrix that turns a column vector."""
    places = torch.arange(start, start + count)[None]
    cosine, sine = model.model.rotary_emb(torch.zeros(1, dtype=torch.float32), places)
    size = cosine.shape[-1]
    swap = torch.zeros(size, size, dtype=torch.float64)
    for i in range(size // 2):
        swap[i, i + size // 2], swap[i + size // 2, i] = -1, 1
    pairs = zip(cosine[0].double(), sine[0].double(), strict=True)
    turns = [torch.diag(c) + torch.diag(s) @ swap for c, s in pairs]
    return torch.stack(turns).mean(0)


def expected(layer: EagerLayer, turn: Tensor, sink: int, epsilon: float) -> Tensor:
    """[G, T - sink]."""
    scale = layer.keys.shape[-1] ** -0.5
    groups = len(layer.queries) // len(layer.keys)
    scores = []
    for h, queries in enumerate(layer.queries.double()):
        keys = layer.keys[h // groups, sink:].double()
        mean = turn @ queries[sink:].mean(0)
        covariance = turn @ torch.cov(queries[sink:].T, correction=0) @ turn.T
        z = torch.stack([scale * k @ mean + scale**2 * k @ covariance @ k / 2 for k in keys])
        scores.append(z.exp() / z.exp().sum())
    return (layer.grouped(torch.stack(scores)) + epsilon) * layer.values[:, sink:].double().norm(
        dim=-1
    )


@pytest.mark.parametrize(("future", "sink", "epsilon"), [(512, 4, 0.0), (7, 0, 0.01), (64, 1, 1.0)])
def test_expected_attention_keeps_what_its_definition_says(tiny, future, sink, epsilon):
    pair = tiny()
    ids = pair.prompt(LENGTH)
    sequence = pair.under(
        "expected_attention", BUDGET, ids, future=future, sink=sink, epsilon=epsilon
    )
    turn = mean_rotation(pair.eager, LENGTH, future)
    for own, layer in zip(kept(sequence), eager_layers(pair.eager, ids), strict=True):
        scores = expected(layer, turn, sink, epsilon)
        assert own == [
            [*range(sink), *(sink + i for i in best(head, BUDGET - sink))] for head in scores
        ]


def test_expected_attention_is_the_mean_weight_of_drawn_queries():
    draw = torch.Generator().manual_seed(0)
    policy = Policy.registry.find("expected_attention")(sink=0, future=1)
    cache = holding(5, 3)
    keys = torch.randn(1, 5, 4, generator=draw)
    cache.entries, cache.scaling = Entries(keys, torch.ones(1, 5, 4), torch.arange(5)), 0.5
    cache.queries = torch.randn(2, 5, 4, generator=draw)
    policy.observe_prompt(view(cache, policy), AttentionStats())
    shares = []
    for queries in cache.queries.double():
        root = torch.linalg.cholesky(torch.cov(queries.T, correction=0))
        drawn = queries.mean(0) + torch.randn(400_000, 4, generator=draw).double() @ root.T
        weights = (0.5 * drawn @ keys[0].double().T).exp().mean(0)
        shares.append(weights / weights.sum())
    norm = 2.0  # of values of four ones
    found = policy.scores(view(cache, policy))[0].double() / norm
    torch.testing.assert_close(found, torch.stack(shares).mean(0), rtol=0.02, atol=0)


@pytest.mark.parametrize("family", ["llama", "cohere", "gpt_neox"])
def test_mean_of_turns_is_what_turning_one_by_one_gives(twins, family):
    rotary = rotary_layers(twins(family)[0])[0]
    assert rotary is not None
    by = torch.tensor([0, 3, 50, 700])
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    one_by_one = rotary.turned(x[:, None].expand(-1, 4, -1), by).mean(1)
    torch.testing.assert_close(rotary.averaged(x, by), one_by_one)


def test_expected_attention_refuses_learned_positions(tiny):
    with pytest.raises(ValueError, match="rotary positions"):
        tiny("gpt2").under("expected_attention", BUDGET, [5, 6, 7])


def test_expected_attention_reads_prompts_of_sinks_only(tiny):
    pair = tiny()
    for length in (1, 4, 5):
        held = kept(pair.under("expected_attention", 8, pair.prompt(length)))
        assert held[0][0] == list(range(length))


@pytest.mark.parametrize(("trained", "future"), [(8, 1), (1024, 128), (131_072, 512)])
def test_expected_attention_fits_the_positions_ahead_to_the_context(trained, future):
    assert Policy.registry.find("expected_attention")().fitted(64, 3, trained).future == future
    assert Policy.registry.find("expected_attention")(future=9).fitted(64, 3, trained).future == 9


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(LENGTH)
    found = kept(pair.under("expected_attention", BUDGET, ids, future=7, sink=2))
    turn = mean_rotation(pair.eager, LENGTH, 7)
    for own, layer in zip(found, eager_layers(pair.eager, ids), strict=True):
        scores = expected(layer, turn, 2, 0.0)
        assert own == [[0, 1, *(2 + i for i in best(head, BUDGET - 2))] for head in scores]


def test_expected_attention_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
