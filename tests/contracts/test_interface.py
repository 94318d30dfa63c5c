"""The interface uses public names of ``tokenarium`` and ``tokenarium.backend``, nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tokenarium
from tokenarium import backend
from tokenarium.backend.settings import PROJECT

OURS = {"tokenarium": set(tokenarium.__all__), "tokenarium.backend": set(backend.__all__)}
NEVER = ("torch", "transformers", "sqlalchemy", "duckdb", "triton")
FILES = sorted((PROJECT / "ui").rglob("*.py"))


def imported(source: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "an import with dots says not what it is of"
            yield from ((node.module or "", each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            yield from ((each.name, "") for each in node.names)


def forbidden(source: str) -> list[str]:
    """Return what a file of the interface imports and must not."""
    found = []
    for module, name in imported(source):
        room = module.split(".")
        if room[0] in NEVER:
            found.append(module)
        if room[0] != "tokenarium" or room[:2] == ["tokenarium", "ui"]:
            continue
        if (module, name) == ("tokenarium", "ui"):
            continue
        if name not in OURS.get(module, ()):
            found.append(f"{module}:{name}")
    return found


def test_every_file_imports_public_names_only() -> None:
    found = {
        str(path.relative_to(PROJECT)): forbidden(path.read_text(encoding="utf-8"))
        for path in FILES
    }
    assert len(found) > 50
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from tokenarium.backend.trace.request import TraceRequest",
        "from tokenarium.backend.runs import lab",
        "from tokenarium.backend import runs",
        "import tokenarium.backend.cache.policy",
        "from tokenarium.storage import Store",
        "from tokenarium.kernels import attention_stats",
        "from tokenarium import storage",
        "def f():\n    import torch",
        "import transformers.models",
    ],
)
def test_any_other_import_is_found(line: str) -> None:
    assert forbidden(line)


def test_public_names_are_allowed() -> None:
    assert forbidden("from tokenarium.backend import Lab, UserError\nimport gradio") == []


def test_a_page_is_what_it_shows_and_short() -> None:
    long = {p.name: n for p in (PROJECT / "ui" / "pages").glob("*.py") if (n := _lines(p)) > 150}
    assert long == {}, "what pages have in common belongs into ui/shell, parts into ui/components"


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())
