"""SnapKV keeps exactly what the window's eager attention says."""

import pytest
import torch

from tests.cache.policies.conftest import Pair, kept
from tests.cache.policies.eager import best, eager_layers
from tokenarium.backend.cache.policy import Policy


def shared(votes: torch.Tensor, kernel: int, pooling: str) -> torch.Tensor:
    """Votes [T] of neighbours joined, one token at a time; beyond the ends there are none."""
    reach, out = kernel // 2, []
    for i in range(len(votes)):
        near = votes[max(0, i - reach) : i + reach + 1]
        out.append(near.sum() / kernel if pooling == "mean" else near.max())
    return torch.stack(out)


@pytest.mark.parametrize(
    ("window", "kernel", "pooling"), [(8, 5, "mean"), (1, 1, "mean"), (8, 7, "max"), (15, 3, "max")]
)
def test_snapkv_keeps_what_eager_attention_says(tiny, window, kernel, pooling):
    pair, budget = tiny(), 16
    ids = pair.prompt(61)
    sequence = pair.under("snapkv", budget, ids, window=window, kernel=kernel, pooling=pooling)
    for own, layer in zip(kept(sequence), eager_layers(pair.eager, ids), strict=True):
        votes = layer.attention[:, -window:, :-window].double().mean(1)
        pooled = torch.stack([shared(head, kernel, pooling) for head in votes])
        tokens = [best(scores, budget - window) for scores in layer.grouped(pooled)]
        assert own == [[*chosen, *range(61 - window, 61)] for chosen in tokens]


def test_snapkv_drops_nothing_while_decoding(tiny):
    pair = tiny()
    before = kept(pair.under("snapkv", 12, pair.prompt(40)))
    after = kept(pair.under("snapkv", 12, pair.prompt(40), steps=[7, 8, 9]))
    assert after == [[[*head, 40, 41, 42] for head in layer] for layer in before]


def test_snapkv_takes_the_largest_of_a_group_where_asked(tiny):
    pair, ids = tiny(), tiny().prompt(61)
    sequence = pair.under("snapkv", 16, ids, window=8, kernel=1, reduction="max")
    layer = eager_layers(pair.eager, ids)[1]
    votes = layer.attention[:, -8:, :-8].double().mean(1)
    largest = torch.stack([part.amax(0) for part in votes.chunk(2)])
    assert [head[:-8] for head in kept(sequence)[1]] == [best(own, 8) for own in largest]


@pytest.mark.parametrize(
    ("budget", "window"), [(2, 1), (16, 1), (40, 2), (255, 15), (1024, 64), (4000, 64)]
)
def test_snapkv_fits_its_window_to_the_budget(budget, window):
    assert Policy.registry.find("snapkv")().fitted(budget, 3, 512).window == window
    assert Policy.registry.find("snapkv")(window=9).fitted(budget, 3, 512).window == 9


def test_snapkv_reads_prompts_shorter_than_its_window(tiny):
    pair = tiny()
    for length in (1, 2, 8):
        assert kept(pair.under("snapkv", 12, pair.prompt(length), window=8))[0][0] == list(
            range(length)
        )


def test_snapkv_refuses_an_even_kernel():
    with pytest.raises(ValueError, match="kernel=4 has no middle: take 3 or 5"):
        Policy.registry.find("snapkv")(kernel=4)


def check_kept_sets(twins) -> None:
    """The contract tests also run this with every score turned round, and it must fail."""
    pair = Pair(*twins("llama"))
    ids = pair.prompt(61)
    found = kept(pair.under("snapkv", 16, ids, window=8))
    for own, layer in zip(found, eager_layers(pair.eager, ids), strict=True):
        votes = layer.attention[:, -8:, :-8].double().mean(1)
        pooled = layer.grouped(torch.stack([shared(head, 5, "mean") for head in votes]))
        assert own == [[*best(head, 8), *range(53, 61)] for head in pooled]


def test_snapkv_keeps_what_it_should(twins) -> None:
    check_kept_sets(twins)
