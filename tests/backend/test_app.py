"""The application says in words why it cannot start."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tokenarium.backend.settings import PROJECT, Settings

pytestmark = pytest.mark.process


def start(*options: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    return subprocess.run(
        [sys.executable, "app.py", *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )


def test_help_lists_every_option() -> None:
    told = start("--help")
    assert told.returncode == 0
    for name in Settings.model_fields:
        assert f"--{name.replace('_', '-')}" in told.stdout


def test_start_is_refused_when_the_port_is_taken(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = start("--port", str(port), "--database", f"duckdb:///{tmp_path / 'runs.duckdb'}")
    assert told.returncode == 1
    assert f"port={port} cannot be listened on" in told.stderr
    assert "--port" in told.stderr
    assert "Traceback" not in told.stderr
    assert not (tmp_path / "runs.duckdb").exists()


def test_start_is_refused_when_the_database_is_foreign(tmp_path: Path) -> None:
    picture = tmp_path / "runs.duckdb"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" * 64)
    told = start("--port", str(free_port()), "--database", f"duckdb:///{picture}")
    assert told.returncode == 1
    assert "Tokenarium cannot start" in told.stderr
    assert str(picture) in told.stderr
    assert "Traceback" not in told.stderr


def test_help_is_told_beside_a_package_named_kernels(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text("raise ImportError('not ours')")
    told = start("--help", path=tmp_path)
    assert told.returncode == 0, told.stderr


def test_start_is_refused_when_an_option_is_out_of_range() -> None:
    told = start("--port", "0")
    assert told.returncode == 1
    assert "port='0': Input should be greater than or equal to 1" in told.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
