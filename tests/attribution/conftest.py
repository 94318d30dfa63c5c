"""Games over tiny random models, and the same numbers from transformers' own class."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from tests.trace.conftest import Twins, letters, twins
from tokenarium.backend.attribution.game import Game
from tokenarium.backend.attribution.target import Target
from tokenarium.backend.attribution.units import Unit
from tokenarium.backend.models.loaded import LoadedModel

__all__ = ["letters", "twins"]

TARGET, OTHER = 75, 80


def random_ids(count: int, seed: int = 0) -> list[int]:
    found: list[int] = np.random.default_rng(seed).integers(60, 100, count).tolist()
    return found


def game_of(loaded: LoadedModel, ids: list[int], **changes: Any) -> Game:
    """Return a game about ``TARGET``; each token is a unit unless ``widths`` says otherwise."""
    widths = changes.pop("widths", [1] * len(ids))
    stops = np.cumsum(widths).tolist()
    starts = [0, *stops[:-1]]
    units = [Unit(a, b, f"<{a}>") for a, b in zip(starts, stops, strict=True)]
    target = Target(len(ids), TARGET, changes.pop("against", None))
    with torch.no_grad():
        seed, products = changes.pop("seed", 0), changes.pop("products", None)
        return Game(loaded, ids, units, lambda _: target, seed, _silent, products)


def _silent(doing: str, done: int, total: int) -> None:
    """Report to nobody."""


def log_probability(
    oracle: PreTrainedModel, ids: list[int], against: int | None = None, **given: Any
) -> float:
    """Return ln p(TARGET | ids) [- ln p(against | ids)] by one pass of transformers' own class."""
    with torch.no_grad():
        logits = oracle(input_ids=torch.tensor([ids]), use_cache=False, **given).logits[0, -1]
    found = torch.log_softmax(logits.double(), -1)
    return float(found[TARGET] - (0 if against is None else found[against]))


@pytest.fixture
def llama(twins: Twins) -> tuple[LoadedModel, PreTrainedModel]:
    return twins("llama")
