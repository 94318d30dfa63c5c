"""What is said of the lines behind a number: where they find the run."""

from types import SimpleNamespace
from typing import Any

import pytest

from tokenarium.ui.why.explain import ELSEWHERE, HELD, note


def lab(database: str, hosted: bool, *shipped: str) -> Any:
    return SimpleNamespace(
        settings=SimpleNamespace(database=database, hosted=hosted),
        examples=lambda _: [SimpleNamespace(run_id=each) for each in shipped],
    )


@pytest.mark.parametrize(
    ("database", "hosted", "shipped", "said"),
    [
        ("duckdb:///runs.duckdb", False, (), HELD),
        ("duckdb:///runs.duckdb", False, ("a",), HELD),
        ("duckdb:///:memory:", False, (), ""),
        ("postgresql+psycopg://host/runs", False, (), ""),
        ("duckdb:///runs.duckdb", True, (), ELSEWHERE),
        ("postgresql+psycopg://host/runs", True, ("a",), ""),
    ],
)
def test_lines_say_where_they_find_the_run(
    database: str, hosted: bool, shipped: tuple[str, ...], said: str
) -> None:
    run: Any = SimpleNamespace(id="a", request=SimpleNamespace(kind="trace"))
    assert note(lab(database, hosted, *shipped), run) == said
