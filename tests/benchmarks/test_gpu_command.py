"""``make gpu`` where only the libraries of a GPU machine are installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.on_gpu.suite import marked_files
from tokenarium.backend.settings import PROJECT

MISSING = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
NAMES = {"gradio", "plotly", "duckdb", "duckdb_engine", "sqlalchemy", "alembic", "orjson"}


@pytest.mark.process
@pytest.mark.timeout(300)
def test_gpu_tests_are_found_without_interface_and_database(tmp_path: Path) -> None:
    missing = NAMES | {"gguf", "opentelemetry", "playwright"}
    (tmp_path / "sitecustomize.py").write_text(MISSING.format(names=missing))
    files = marked_files()
    assert len(files) > 5
    script = "import sys; from pathlib import Path; from tests.benchmarks.on_gpu import suite; "
    script += "print(*suite.collect(suite.marked_files(), Path(sys.argv[1])), sep=chr(10))"
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    said = (tmp_path / "tests_found.log").read_text()
    found = {name.partition("::")[0] for name in done.stdout.splitlines()}
    assert found == set(files), said[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_gpu_command_needs_neither_interface_nor_database(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(MISSING.format(names=NAMES))
    command = [sys.executable, "tests/benchmarks/gpu.py", "--device", "cpu", "--quick"]
    command += ["--patience", "5", "--commit", "abc", "--out", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    lines = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    assert [line for line in lines if "problem" in line] == []
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    measured = {line["section"] for line in lines if "ms" in line}
    assert measured == {*("kernels", "statistics", "trace", "policies", "reading", "drafting")}
    table = (tmp_path / "gpu.md").read_text()
    assert "commit abc" in table
    assert "| decode_attention, Triton |" in table
