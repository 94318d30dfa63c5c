"""Every routing of every token against transformers' own class with a cache, one at a time."""

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from tests.reduction.conftest import blocks, both_texts, run, skipped
from tokenarium.backend.reduction.bench import mlp_of
from tokenarium.backend.reduction.low_rank import low_rank_cost, small_mlps
from tokenarium.backend.reduction.methods.duo_llm import FIRST, GREEDY, ONE, ORACLE, RANDOM
from tokenarium.backend.reduction.patterns import (
    by_choice,
    every_pattern,
    grouped,
    read_patterns,
    shared_readings,
)
from tokenarium.backend.reduction.routed import instead

TOKENS, RANK, BUDGET = 16, 0.3, 0.6


def truncated(oracle: Any) -> tuple[Any, float]:
    """Return a copy whose MLPs have a low rank, and what they cost over the whole ones."""
    small, few, all_ = copy.deepcopy(oracle), 0, 0
    for block in blocks(small):
        for name, weight in block.mlp.named_parameters():
            if weight.dim() == 2:
                u, s, v = torch.linalg.svd(weight.data.double(), full_matrices=False)
                rank = round(RANK * min(weight.shape))
                weight.data = ((u[:, :rank] * s[:rank]) @ v[:rank]).float()
                few, all_ = few + rank * sum(weight.shape), all_ + weight.numel()
            assert name
    return small, few / all_


def routed(oracle: Any, small: Any, ids: list[int]) -> dict[tuple[int, ...], np.ndarray]:
    """Return by routing (0 full, 1 small, 2 none) the surprisal of each token but the first."""
    read = []
    for place in range(len(ids) - 1):
        read.append(DynamicCache(config=oracle.config))
        if place:
            oracle(input_ids=torch.tensor([ids[:place]]), past_key_values=read[-1])
    found = {}
    for routing in itertools.product(range(3), repeat=len(blocks(oracle))):
        nats = []
        for place, before in enumerate(read):
            past = copy.deepcopy(before)
            handles = []
            for block, other, way in zip(blocks(oracle), blocks(small), routing, strict=True):
                if way == 1:
                    hook = lambda _, args, __, mlp=other.mlp: mlp(args[0])  # noqa: E731
                    handles.append(block.mlp.register_forward_hook(hook))
                if way == 2:
                    handles.append(block.register_forward_hook(skipped))
            out = oracle(input_ids=torch.tensor([[ids[place]]]), past_key_values=past)
            for handle in handles:
                handle.remove()
            law = torch.log_softmax(out.logits[0, -1].double(), -1)
            nats.append(-float(law[ids[place + 1]]))
        found[routing] = np.array(nats)
    return found


@pytest.mark.parametrize("family", ["llama", "gemma2"])
@torch.no_grad()
def test_everything_is_what_enumerating_by_hand_finds(twins: Any, family: str) -> None:
    loaded, oracle = twins(family)
    result = run(loaded, "duo_llm", tokens=TOKENS, rank=RANK, budget=BUDGET)
    ids = both_texts(loaded, TOKENS)[1]
    small, share = truncated(oracle)
    nats = routed(oracle, small, ids)
    assert result.enumerated == len(nats) == 27
    mlp = sum(w.numel() for w in blocks(oracle)[0].mlp.parameters() if w.dim() == 2)
    layer = sum(w.numel() for w in blocks(oracle)[0].parameters() if w.dim() == 2)
    part = (1, (layer - mlp + share * mlp) / layer, 0)
    cost = {routing: sum(part[way] for way in routing) / 3 for routing in nats}
    inside = [routing for routing in nats if cost[routing] <= BUDGET + 1e-9]
    at = {name: result.of_series(name) for name in result.series}
    at = {name: points[result.setting[points] == BUDGET][0] for name, points in at.items()}
    best = np.min([nats[routing] for routing in inside], 0)
    one = min(inside, key=lambda routing: nats[routing].mean())
    first = (0, 2, 2)
    near = [nats[routing] for routing in inside if cost[routing] > BUDGET - 0.1 + 1e-9]

    def lowered(token: int) -> float:
        now = (0, 0, 0)
        while cost[now] > BUDGET + 1e-9:
            steps = [
                (*now[:place], now[place] + 1, *now[place + 1 :])
                for place in range(3)
                if now[place] < 2
            ]
            now = min(steps, key=lambda routing: nats[routing][token])
        return float(nats[now][token])

    expected = {
        ORACLE: best,
        ONE: nats[one],
        FIRST: nats[first],
        RANDOM: np.mean(near, 0) if near else None,
        GREEDY: [lowered(token) for token in range(TOKENS - 1)],
    }
    for name, wanted in expected.items():
        if wanted is not None:
            np.testing.assert_allclose(result.token_nats[at[name], 1:], wanted, atol=5e-4)
    assert (best < expected[GREEDY]).any(), "greedy found every one: the test tells little"
    whole = result.of_series(FIRST)[-1]
    np.testing.assert_allclose(result.token_nats[whole, 1:], nats[0, 0, 0], atol=2e-4)


@torch.no_grad()
def test_small_mlps_are_truncated_singular_value_decompositions(twins: Any) -> None:
    loaded, oracle = twins("gpt2")
    small, share = truncated(oracle)
    given = torch.randn(5, 32, generator=torch.Generator().manual_seed(0))
    for block, parts in zip(loaded.layers, small_mlps(loaded, RANK), strict=True):
        with instead(parts):
            found = mlp_of(block)(given)
        number = loaded.layers.index(block)
        torch.testing.assert_close(found, blocks(small)[number].mlp(given), atol=1e-4, rtol=1e-4)
        whole = mlp_of(block)(given)
        torch.testing.assert_close(whole, blocks(oracle)[number].mlp(given))
        assert (whole - found).abs().max() > 1e-3
    assert low_rank_cost(loaded, RANK) == pytest.approx([share] * 3)


def test_layers_that_patterns_share_are_computed_once() -> None:
    groups = grouped(8, 3)
    assert groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    patterns = every_pattern(groups, 3)
    assert len({*map(tuple, patterns.tolist())}) == len(patterns) == 27
    assert shared_readings(patterns) == pytest.approx((3 * 3 + 3 * 9 + 2 * 27) / 8)
    seen: list[int] = []

    class Text:
        ids = [0] * 5
        states = torch.zeros(1, 5, 1)

        def token_nats(self, states: torch.Tensor) -> np.ndarray:
            return states[:, 1:, 0].double().numpy()

    def way(digit: int) -> Any:
        def apply(layer: int, states: torch.Tensor) -> torch.Tensor:
            seen.append(len(states))
            return states + digit * 3**layer

        return apply

    text: Any = Text()
    found = read_patterns(text, patterns, by_choice([way(digit) for digit in range(3)]))
    expected = (patterns * 3 ** np.arange(8)).sum(1)
    np.testing.assert_array_equal(found, np.repeat(expected[:, None], 4, 1))
    assert sum(seen) == 8 * shared_readings(patterns)


def test_mlps_that_are_no_plain_matrices_are_refused(twins: Any) -> None:
    loaded, _ = twins("gpt_oss")
    with pytest.raises(ValueError, match="not made of plain matrices"):
        run(loaded, "duo_llm")
