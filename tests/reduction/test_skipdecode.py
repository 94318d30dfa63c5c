"""The staircase of layers against hooks that hand on what entered a layer."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.reduction.conftest import blocks, both_texts, nats_of, run
from tokenarium.backend.reduction.methods.skipdecode import EARLY, EVEN, STAIRS, staircase, upper


def test_depths_fall_evenly_and_every_needed_key_is_there() -> None:
    assert staircase(4, 5, 0.5).tolist() == [4, 4, 3, 2, 2]  # 4, 3.5, 3, 2.5, 2 to even
    active = upper(4, np.array([4, 3, 2, 1]), 1)
    assert active.astype(int).tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    for layers, least, warm in ((8, 0.4, 1), (30, 0.8, 2), (3, 0.1, 5)):
        active = upper(layers, staircase(layers, 50, least), warm)
        assert (np.diff(active.astype(int), axis=1) <= 0).all(), "a key would be missing"
        np.testing.assert_array_equal(active.sum(0), staircase(layers, 50, least))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_losses_are_what_hooks_apart_find(twins: Any, family: str) -> None:
    loaded, oracle = twins(family)
    result = run(loaded, "skipdecode", least=0.34, warm_up=1)
    ids = both_texts(loaded)[1]
    depths = [round(3 - 0.66 * 3 * place / (len(ids) - 1)) for place in range(len(ids))]
    mean = round(sum(depths) / len(depths))
    runs = {
        STAIRS: lambda layer, depth: layer == 0 or layer > 3 - depth,
        EVEN: lambda layer, _: layer == 0 or layer > 3 - mean,
        EARLY: lambda layer, depth: layer < depth,
    }
    for point in (result.chosen, *map(int, result.beside)):
        name = result.series[result.point_series[point]]
        handles = []
        for layer, block in enumerate(blocks(oracle)):
            on = torch.tensor([runs[name](layer, depth) for depth in depths])[None, :, None]

            def hook(_: Any, args: Any, out: Any, on: Any = on) -> Any:
                if isinstance(out, Tensor):
                    return torch.where(on, out, args[0])
                return torch.where(on, out[0], args[0]), *out[1:]

            handles.append(block.register_forward_hook(hook))
        nats = nats_of(oracle, ids)
        for handle in handles:
            handle.remove()
        np.testing.assert_allclose(result.token_nats[point, 1:], nats, atol=5e-4)
        ran = [[runs[name](layer, depth) for depth in depths] for layer in range(3)]
        assert result.cost[point] == pytest.approx(np.mean(ran), abs=1e-9)
