"""The worked examples in the docstrings of base classes do what the docstrings say."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from tokenarium.backend.benchmark.task import Exercise, Task
from tokenarium.backend.interventions.declaration import Edited, Intervention


@pytest.fixture
def nothing_stays() -> Iterator[None]:
    """What an example registers is forgotten."""
    families: list[Any] = [Task.registry, Intervention.registry]
    before = [{**registry._entries} for registry in families]
    yield
    for registry, entries in zip(families, before, strict=True):
        registry._entries.clear()
        registry._entries.update(entries)


def example(base: type[Any], end: str, **names: Any) -> Any:
    """Make the class that stands in a docstring, up to the sentence that begins with ``end``."""
    text = inspect.cleandoc(base.__doc__ or "").partition("::\n")[2].partition(end)[0]
    found: dict[str, Any] = {base.__name__: base, "__name__": __name__, **names}
    exec(textwrap.dedent(text), found)
    [made] = [one for one in base.__subclasses__() if one.__module__ == __name__]
    return made()


def test_an_intervention(nothing_stays: None) -> None:
    edited = example(Intervention, "Of the tokens", Edited=Edited).edit(None, [1, 7, 8, 9])
    assert edited == Edited([1, 9, 8, 7], [0, 3, 2, 1])


def test_a_task(nothing_stays: None) -> None:
    made = example(Task, "With length", Exercise=Exercise).exercise(None, 8, 0.4, 0)
    assert made.prompt == (7, 7, 5, 6, 7, 7, 7, 5)
    assert made.answer == (6,)
