"""A public method refuses arguments of another type in words, and takes those it can use."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest

from tokenarium import Lab
from tokenarium.backend.arguments import checks_arguments
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.visitor import Visitor


class _Base:
    def inherited(self, name: str) -> str:
        return name


@checks_arguments
class _Facade(_Base):
    def many(self, names: Sequence[str], count: int | None = None) -> int:
        return len(names) + (count or 0)

    def share(self, share: float, *words: str, kind: Literal["a", "b"] = "a", **more: Any) -> str:
        return f"{share} {words} {kind} {more}"

    def made(self, kind: type[Any], order: Any = None) -> object:
        return kind, order

    def named(self, texts: Mapping[str, str]) -> int:
        return len(texts)

    @staticmethod
    def still(name: str) -> str:
        return name

    def yielded(self, name: str) -> Iterator[str]:
        yield name


WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("inherited", (5,), {}, "name=5 is of another type: give text"),
    ("many", (5,), {}, "names=5 is of another type: give a list of text"),
    ("many", (["a", 5],), {}, r"names=\['a', 5\] is of another type: give a list of text"),
    ("many", ([],), {"count": "x"}, "count='x' .*: give a whole number or nothing"),
    ("many", ([],), {"count": 10**5000}, "count=.* too long to write .*: give a whole number"),
    ("share", ("x",), {}, "share='x' .*: give a number"),
    ("share", (0.5, "a", None), {}, "words=None .*: give text"),
    ("share", (0.5,), {"kind": 1}, "kind=1 .*: give a, b"),
    ("made", (5,), {}, "kind=5 .*: give a class"),
    ("named", ("x",), {}, "texts='x' .*: give a dictionary of text and text"),
    ("named", ({"a": 1},), {}, "texts={'a': 1} .*: give a dictionary of text and text"),
    ("named", ({1: "a"},), {}, "texts={1: 'a'} .*: give a dictionary of text and text"),
    ("still", (None,), {}, "name=None .*: give text"),
    ("yielded", ({},), {}, "name={} .*: give text"),
    ("inherited", (), {}, "inherited takes other arguments: missing"),
    ("inherited", ("a", "b"), {}, "inherited takes other arguments: too many"),
]


@pytest.mark.parametrize(("method", "given", "named", "words"), WRONG)
def test_another_type_is_refused_in_words(method, given, named, words):
    with pytest.raises(UserError, match=f"^{words}"):
        getattr(_Facade(), method)(*given, **named)


def test_what_fits_is_passed_on_as_it_is():
    facade = _Facade()
    assert facade.many(["a"], np.int64(2)) == 3
    assert facade.many(("a",), None) == 1
    assert facade.share(1, "a", kind="c", more={}) == "1 ('a',) c {'more': {}}"
    assert facade.named({"a": "b"}) == 1
    assert facade.made(int, object) == (int, object)
    name = Visitor("x", "9.9.9.9")
    assert facade.inherited(name) is name
    assert _Facade.still("a") == "a"
    assert [*facade.yielded("a")] == ["a"]
    assert _Base().inherited(5) == 5, "the class that is inherited from stays as it is"


def test_signatures_and_words_of_the_facade_stay_readable():
    assert "needs" in inspect.signature(Lab.open).parameters
    assert Lab.search.__doc__.startswith("Return descriptions")
