"""Persistence worked out by hand; against eager attention it is checked with the whole trace."""

import numpy as np
import torch

from tokenarium.backend.trace.persistence import persistence

NONE = float("nan")


def found(sums: list[list[float]], window: int | None = None) -> list[list[float]]:
    pair = persistence(torch.tensor([sums]), len(sums[0]), window)
    return [values[0].tolist() for values in pair]


def test_persistence_counts_the_pivotal_keys_that_were_so_before():
    # Runs {0, 1}, {2, 3}, {4, 5}; uniform sums 1 + 1/2, 1/3 + 1/4 = 0.583, 1/5 + 1/6 = 0.367.
    sums = [
        [1.7, 0.3, 0.0, 0.0, 0.0, 0.0],
        [0.6, 0.5, 0.5, 0.4, 0.0, 0.0],
        [0.4, 0.4, 0.1, 0.9, 0.1, 0.1],
    ]
    np.testing.assert_allclose(found(sums), [[NONE, 1 / 2], [NONE, 1 / 2]])
    sums[2][1] = 0.3
    np.testing.assert_allclose(found(sums), [[NONE, 1], [NONE, 1 / 2]])
    sums[1][0] = 0.5
    np.testing.assert_allclose(found(sums), [[NONE, 0], [NONE, 0]])


def test_persistence_ignores_keys_the_window_has_left_behind():
    # Runs of two queries, window 4: uniform is 4 x 1/4 over two queries from run 2 on. Run 2 sees
    # keys 1.. of those before run 1, run 3 sees key 3 of those before run 2.
    sums = [
        [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.9, 0.9, 0.1, 0.1, 0.0, 0.0, 0.0, 0.0],
        [0.9, 0.9, 0.9, 0.6, 0.1, 0.1, 0.0, 0.0],
        [0.9, 0.9, 0.9, 0.4, 0.1, 0.1, 0.1, 0.1],
    ]
    np.testing.assert_allclose(found(sums, window=4), [[NONE, 1, NONE], [NONE, 1, 1]])
    np.testing.assert_allclose(found(sums), [[NONE, 1, 1], [NONE, 1, 1]])


def test_persistence_of_uniform_attention_is_undefined():
    length = 8
    weights = torch.tril(torch.ones(length, length)) / torch.arange(1, length + 1)[:, None]
    sums = weights.unflatten(0, (4, 2)).sum(1).tolist()
    np.testing.assert_array_equal(found(sums)[0], [NONE] * 3)


def test_persistence_of_one_token_has_no_pair_of_runs():
    lasting, chance = persistence(torch.ones(3, 1, 1), 1, None)
    assert lasting.shape == chance.shape == (3, 0)
