"""The faults of ``make mutations`` name text that the program has."""

from pathlib import Path

import pytest

from tests.mutations.__main__ import MUTATIONS
from tests.mutations.mutation import Mutation

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_can_be_put_where_it_says(mutation: Mutation) -> None:
    whole = (PROJECT / mutation.file).read_text(encoding="utf-8")
    assert mutation.applied(whole) != whole
    for test in mutation.tests:
        assert (PROJECT / "tests" / test.partition("::")[0]).exists()
