"""What earlier runs say of a strategy's premise, by numbers made by hand."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from tokenarium.backend.decoding.premise import soft_premise


def run_of(plain: list[float], soft: list[float], ids: list[int]) -> SimpleNamespace:
    lanes = [
        SimpleNamespace(token_ids=np.array(kept), entropy_nats=np.array(values))
        for kept, values in (([5] * len(plain), plain), (ids, soft))
    ]
    return SimpleNamespace(lanes=lanes)


@pytest.mark.parametrize(
    ("after", "words"), [(3.2, "3.20 nats, .* 2.00: its premise does not"), (2.5, "premise holds")]
)
def test_entropy_after_mixtures_is_compared_with_plain_decoding(after: float, words: str) -> None:
    ids = [-1] * 8 + [4, 4]  # eight soft steps, after each of which the entropy is known
    found = run_of([1.0, 3.0], [9.0, *[after] * 8, 0.0], ids)
    hard = run_of([50.0], [50.0], [3])  # no mixture: says nothing
    said = soft_premise([found, hard])  # type: ignore[list-item]
    assert "after 8 mixtures" in said
    assert re.search(words, said)


def test_few_mixtures_say_nothing() -> None:
    assert "not measured" in soft_premise([run_of([1.0], [1.0, 9.0], [-1, 2])])  # type: ignore[list-item]
    assert "not measured" in soft_premise([])
