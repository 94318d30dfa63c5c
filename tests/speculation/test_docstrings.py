"""The worked examples in docstrings are what happens."""

import doctest
from types import ModuleType

import pytest

from tokenarium.backend.speculation import drafter, rule, tree


@pytest.mark.parametrize("module", [drafter, rule, tree], ids=lambda module: module.__name__)
def test_worked_examples_give_what_they_show(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted >= 2
    assert found.failed == 0
