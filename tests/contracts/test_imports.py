"""What is cheap to import stays cheap."""

import subprocess
import sys

import pytest

from tokenarium import backend
from tokenarium.backend.settings import PROJECT

HEAVY = ("torch", "transformers", "gradio", "plotly", "pandas", "sqlalchemy", "duckdb")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.process
def test_backend_loads_its_names_on_first_use() -> None:
    assert loaded_by("import tokenarium.backend") == set()
    assert loaded_by("from tokenarium import TraceRequest, TraceResult, Settings") == set()


@pytest.mark.process
def test_lab_needs_neither_torch_nor_the_interface() -> None:
    assert loaded_by("from tokenarium import Lab, UserError") <= {"sqlalchemy", "duckdb"}


@pytest.mark.process
def test_kernels_and_instruments_need_neither_sql_nor_the_interface() -> None:
    ours = ("kernels.attention_stats", "kernels.vocab_stats", "backend.observe")
    loaded = loaded_by("\n".join(f"import tokenarium.{name}" for name in ours))
    assert "torch" in loaded
    assert loaded & {"sqlalchemy", "duckdb", "gradio", "plotly"} == set()


def test_every_public_name_loads() -> None:
    assert [name for name in backend.__all__ if getattr(backend, name, None) is None] == []


def test_other_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Labb'"):
        _ = backend.Labb
