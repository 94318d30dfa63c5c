"""Gradio's search for Matplotlib at every event ends at once where that is not installed."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tokenarium.ui.shell import without_matplotlib
from tokenarium.ui.shell.without_matplotlib import look_for_no_matplotlib


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that are searched for along the path."""
    names: list[str] = []

    class Watching:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            names.append(name)

    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Watching])
    return names


def test_what_is_not_installed_is_searched_for_once(searched: list[str]) -> None:
    look_for_no_matplotlib()
    assert searched == ["matplotlib"]
    for _ in range(3):
        with pytest.raises(ModuleNotFoundError):
            import matplotlib  # noqa: F401
    look_for_no_matplotlib()
    assert searched == ["matplotlib"]
    del sys.modules["matplotlib"]


def test_what_is_installed_is_left_as_it_is(
    searched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(without_matplotlib, "find_spec", lambda _: SimpleNamespace())
    look_for_no_matplotlib()
    assert "matplotlib" not in sys.modules
    module = ModuleType("matplotlib")
    monkeypatch.setitem(sys.modules, "matplotlib", module)
    look_for_no_matplotlib()
    assert sys.modules["matplotlib"] is module
