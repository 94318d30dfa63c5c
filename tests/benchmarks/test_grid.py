"""The grid goes on where it stopped, and its table says what was measured."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.grid import Plan, kept, measure
from tests.benchmarks.grid_table import Grid, Measured, write
from tests.trace.conftest import twins

__all__ = ["twins"]

PLAN = Plan(("full", "random", "snapkv"), ("copying",), (0.5, 0.1), 48, 2)


def test_it_goes_on_where_it_stopped(twins: Any, tmp_path: Any, capsys: Any) -> None:
    loaded, _ = twins("llama")
    file, rounds = tmp_path / "build" / "grid.jsonl", []
    first = replace(PLAN, rounds=1)
    found: dict[Any, Measured] = {}
    measure(loaded, first, found, file, lambda: rounds.append(len(found)))
    assert rounds == [5]  # full has one budget
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:3]) + "\n" + lines[3][:20])  # interrupted in the middle
    again = kept(file, loaded.fingerprint, 48)
    assert len(again) == 3
    file.write_text("\n".join(lines[:3]) + "\n")
    capsys.readouterr()
    measure(loaded, PLAN, again, file, lambda: None)
    said = capsys.readouterr().out
    assert "4 of 10" in said.splitlines()[0]
    assert len(said.splitlines()) == 7
    assert kept(file, loaded.fingerprint, 48) == again
    assert again[("copying", "snapkv", 0.5, 0)] == found[("copying", "snapkv", 0.5, 0)]
    assert again[("copying", "full", 1.0, 1)].kl_nats == pytest.approx(0, abs=1e-6)
    assert again[("copying", "full", 1.0, 1)].recall == pytest.approx(1, abs=1e-6)
    assert kept(file, "another", 48) == {}
    assert json.loads(lines[0])["length"] == 48


def test_its_table_has_means_intervals_and_what_was_refused(tmp_path: Any) -> None:
    found = {("passkey", "full", 1.0, n): Measured(0.0, 1.0, 100.0) for n in range(2)}
    found |= {("passkey", "random", 0.1, n): Measured(2.0 + n, 0.5, 20.0) for n in range(2)}
    found |= {
        ("passkey", "snapkv", 0.1, n): Measured(1.0 + 2 * n, 0.75, 10.0, 1 - n / 4) for n in (0, 1)
    }
    found |= {("passkey", "tova", 0.1, n): Measured(refused="budget=1: raise it") for n in (0, 1)}
    page = tmp_path / "grid.md"
    write(Grid(("passkey",), (0.1,), 64, "a model", found), page)
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == ["| Full cache", "| SnapKV", "| Random"]
    half = 12.706 * np.std([1, 3], ddof=1) / np.sqrt(2)
    assert rows[2][2:6] == ["10%", f"2.00 ± {half:.2f}", "-0.50 ± 6.35", "0.75"]
    assert rows[3][4] == "-"
    assert [row[-1] for row in rows] == ["attention recall |", "- |", "87.5% |", "- |"]
    text = page.read_text()
    assert "- TOVA: budget=1: raise it" in text
    assert "over the 2 exercises" in text
    assert "not finished" not in text
    del found[("passkey", "random", 0.1, 1)]
    write(Grid(("passkey",), (0.1,), 64, "a model", found), page)
    assert "It is not finished yet." in page.read_text()
    assert "| SnapKV | evict | 10% | 1.00 | -1.00 | 0.75 | 1.00 |" in page.read_text()
