import re
import subprocess

import pytest

from tokenarium.backend import environment
from tokenarium.backend.settings import PROJECT, Settings


def test_versions_match_what_is_installed() -> None:
    import numpy

    versions = environment.versions()
    assert versions["numpy"] == numpy.__version__
    assert versions["tokenarium"] == environment.project_version()
    assert set(versions) == {"tokenarium", "python", "torch", "transformers", "numpy"}


def test_commit_is_that_of_the_checkout() -> None:
    if not (PROJECT / ".git").exists():
        assert environment.commit() == f"version {environment.project_version()}"
        return
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert re.fullmatch("[0-9a-f]{40}", environment.commit())
    assert head.stdout.strip() == environment.commit()


def test_commit_is_the_version_where_there_is_no_checkout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert environment.commit.__wrapped__() == f"version {environment.project_version()}"


def test_description_tells_device_and_threads() -> None:
    import torch

    told = environment.describe("cpu", "bfloat16", "abc")
    assert told["threads"] == torch.get_num_threads()
    assert (told["device"], told["dtype"], told["fingerprint"]) == ("cpu", "bfloat16", "abc")
    assert told["device_name"] == environment.processor() != ""


def test_timing_identity_differs_by_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.timing_identity("cpu")
    monkeypatch.setattr(environment, "versions", lambda: {"torch": "0.1"})
    assert environment.timing_identity("cpu") != before


@pytest.mark.parametrize(
    ("database", "space", "note"),
    [
        ("duckdb:///runs.duckdb", False, ""),
        ("duckdb:///:memory:", False, "memory only"),
        ("duckdb:///runs.duckdb", True, "no lasting disk"),
        ("duckdb:////data/runs.duckdb", True, ""),
        ("postgresql://host/runs", True, ""),
    ],
)
def test_storage_note_says_whether_runs_last(
    monkeypatch: pytest.MonkeyPatch, database: str, space: bool, note: str
) -> None:
    if space:
        monkeypatch.setenv("SPACE_ID", "someone/tokenarium")
    told = environment.storage_note(Settings(database=database))
    assert note in told
    assert bool(told) == bool(note)
