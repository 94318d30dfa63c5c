"""A lab with the shipped runs, and a tokenizer that a visitor gave."""

from collections.abc import Iterator

import pytest

from tests.labs import shipped_store
from tests.tokenization.toys import state_of_bpe
from tokenarium.backend import Lab, Settings
from tokenarium.ui.tokens import apart


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    settings = Settings(database=shipped_store(), device="cpu", hosted=False, fetch=False)
    with Lab(settings) as made:
        yield made


@pytest.fixture(autouse=True)
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed without a run is waited for: ``test_a_view_that_computes`` asks again."""
    monkeypatch.setattr(apart, "WAIT_S", 60)


@pytest.fixture(scope="module")
def letters(lab: Lab) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyzĠĊ<>/${}" + "".join(map(chr, range(0xA1, 0x100)))
    return lab.tokenizers.give(state_of_bpe([("a", "b")], alphabet), "letters.json").name
