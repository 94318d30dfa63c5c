"""What git tracks stays small enough to travel to a lent machine."""

import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]
MIB = 2**20


@pytest.fixture(scope="module")
def tracked() -> dict[str, int]:
    """Bytes of every tracked file."""
    if not (HERE / ".git").exists():
        pytest.skip("this copy is no clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=HERE, check=True, capture_output=True, text=True
    )
    files = (HERE / name for name in listed.stdout.split("\0") if name)
    return {str(file.relative_to(HERE)): file.stat().st_size for file in files if file.is_file()}


def test_the_tracked_tree_is_below_58_mib(tracked: dict[str, int]) -> None:
    largest = sorted(tracked.items(), key=lambda item: -item[1])[:8]
    assert sum(tracked.values()) < 58 * MIB, largest


def test_no_tracked_file_is_above_16_mib(tracked: dict[str, int]) -> None:
    assert {name: size for name, size in tracked.items() if size > 16 * MIB} == {}
