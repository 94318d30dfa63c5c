"""Mixed attention spans against masks that are added to transformers' own by hooks."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from tests.reduction.conftest import blocks, both_texts, nats_of, run
from tokenarium.backend.reduction.methods.masformer import (
    BEST,
    FIRST,
    FOUND,
    GREEDY,
    LAST,
    RANDOM,
)

WINDOW, SINKS = 5, 1


def within(oracle: Any, ids: list[int], short: tuple[bool, ...]) -> np.ndarray:
    """Return [T - 1] surprisal with a window in the layers that are short."""
    place = torch.arange(len(ids))
    far = (place[:, None] - place >= WINDOW) & (place >= SINKS)

    def hook(_: Any, args: Any, named: dict[str, Any]) -> Any:
        mask = named["attention_mask"]
        return args, {**named, "attention_mask": mask.masked_fill(far, torch.finfo(mask.dtype).min)}

    handles = [
        block.register_forward_pre_hook(hook, with_kwargs=True)
        for block, one in zip(blocks(oracle), short, strict=True)
        if one
    ]
    found = nats_of(oracle, ids)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize(("family", "own"), [("llama", None), ("mistral", 16)])
def test_every_choice_is_what_masks_apart_give(twins: Any, family: str, own: int | None) -> None:
    loaded, oracle = twins(family)
    result = run(loaded, "masformer", window=WINDOW, first=SINKS, full=1)
    calibration, held_out = both_texts(loaded)
    choices = [*itertools.product((False, True), repeat=3)]
    known = {short: within(oracle, calibration, short).mean() for short in choices}
    nats = {short: within(oracle, held_out, short) for short in choices}
    i, j = np.indices((len(held_out), len(held_out)))
    seen = (j <= i) & (i - j < (own or 99))
    few = seen & ((i - j < WINDOW) | (j < SINKS))
    cost = {short: (few.sum() * sum(short) + seen.sum() * (3 - sum(short))) / seen.sum() / 3
            for short in choices}  # fmt: skip
    one = [short for short in choices if sum(short) == 2]
    best = min(
        (short for short in choices if cost[short] <= cost[one[0]] + 1e-9),
        key=lambda short: nats[short].mean(),
    )
    found = min(one, key=known.__getitem__)
    expected = {
        FOUND: nats[found],
        BEST: nats[best],
        GREEDY: nats[found],
        LAST: nats[True, True, False],
        FIRST: nats[False, True, True],
        RANDOM: np.mean([nats[short] for short in one], 0),
    }
    at = {result.series[result.point_series[p]]: p for p in (result.chosen, *result.beside)}
    for name, wanted in expected.items():
        np.testing.assert_allclose(result.token_nats[at[name], 1:], wanted, atol=5e-4)
        if name != BEST:
            assert result.cost[at[name]] == pytest.approx(cost[one[0]], abs=1e-9)
    two = [
        tuple(one and place != left for place, one in enumerate(found))
        for left in np.flatnonzero(found)
    ]
    greedy = result.of_series(GREEDY)
    second = greedy[result.setting[greedy] == 2][0]
    wanted = nats[min(two, key=known.__getitem__)]
    np.testing.assert_allclose(result.token_nats[second, 1:], wanted, atol=5e-4)


def test_a_window_as_long_as_the_text_is_the_model(twins: Any) -> None:
    loaded, _ = twins("llama")
    result = run(loaded, "masformer", tokens=20, window=20)
    np.testing.assert_array_equal(result.cost, 1)
    expected = np.broadcast_to(result.dense_token_nats[1:], result.token_nats[:, 1:].shape)
    np.testing.assert_allclose(result.token_nats[:, 1:], expected, atol=1e-5)
