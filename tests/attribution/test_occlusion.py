"""Occlusion's scores from texts with one token less, read by transformers' own class."""

from typing import Any

import numpy as np

from tests.attribution.conftest import OTHER, game_of, log_probability, random_ids
from tokenarium.backend.attribution.methods.occlusion import Occlusion


def test_a_score_is_how_far_the_target_falls_without_the_unit(llama: Any) -> None:
    loaded, oracle = llama
    ids = random_ids(7)
    found = Occlusion().attribute(game_of(loaded, ids, against=OTHER)).scores
    whole = log_probability(oracle, ids, OTHER)
    falls = [whole - log_probability(oracle, ids[:n] + ids[n + 1 :], OTHER) for n in range(7)]
    np.testing.assert_allclose(found, falls, atol=1e-4)
    assert np.abs(falls).max() > 1e-3
