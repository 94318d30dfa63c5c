"""A kind of run is one declaration, from which the ``Lab``, API, export and page follow."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from tokenarium.backend.runs.registry import Registry
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.runs.result import Result

_BACKEND = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Example:
    """A request worth looking at, and one sentence that says why; its run is shipped."""

    slug: str
    title: str
    teaser: str
    request: ModelRequest

    @property
    def run_id(self) -> str:
        """The id of the stored run, the same in every store."""
        return f"example-{self.slug}"


@dataclass(frozen=True)
class Kind:
    """One kind of run.

    A module named ``kind.py`` anywhere in ``tokenarium.backend`` that holds a ``KIND``, or several
    as ``KINDS``, is found by itself. It must import without torch, so what computes is named as
    ``module:name`` and imported when there is something to compute.
    """

    request: type[ModelRequest]
    """Class of its requests; its docstring is the explanation, its ``kind`` the slug."""
    result: str
    """``module:Class`` of its results."""
    compute: str
    """``module:function`` that computes a result; takes the request, the loaded model, the token
    limit, what receives events, the ``CancelToken``, and models beside it by name where
    ``request.beside`` names any."""
    title: str
    """Name for people."""
    estimate: str = ""
    """``module:function`` that says what a run will take, of the request and the ``Evidence``;
    empty where nobody can say."""
    examples: tuple[Example, ...] = ()
    """Requests whose runs are shipped, the one for the first paint first."""
    upgrade: str = ""
    """``module:function`` that mends what an older version stored: takes facts, arrays and its
    ``schema_version``, returns facts and arrays as they are meant today. Empty where runs from
    before a changed meaning cannot be read any more."""
    answers: str = ""
    """``module:function`` that says whether a run of an older version still answers its request:
    takes the ``Run`` and its ``schema_version``. One that does not can be opened, and its request
    is computed again. Empty where all do."""
    compare: str = ""
    """``module:function`` that lays stored runs of this kind beside each other: takes the runs,
    returns a ``RunComparison``. Empty where they cannot be."""
    verb: str = ""
    """Name of its HTTP endpoint, MCP tool and command; the slug where empty."""
    usual: Mapping[str, str] = field(default_factory=dict)
    """What its endpoint and command take where a field is left out, if not the field's default."""
    parts: str = ""
    """``module:class`` of its ``Parts``, made of a request, where a run can be computed in parts by
    several workers at once; empty where it is one piece."""
    timed: bool = False
    """Whether the result carries timings, so that device and versions belong to the key."""

    @property
    def slug(self) -> str:
        """Name in the store and in addresses."""
        return self.request.kind

    @property
    def endpoint(self) -> str:
        """Name of its HTTP endpoint, MCP tool and command."""
        return self.verb or self.slug

    @property
    def explanation(self) -> str:
        """What a run of this kind is, in one sentence."""
        return " ".join((inspect.getdoc(self.request) or "").split("\n\n")[0].split())

    @property
    def result_class(self) -> type[Result]:
        """The class of its results."""
        found: type[Result] = imported(self.result)
        return found


def imported(path: str) -> Any:
    """Return what ``module:name`` stands for."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def kind_of(request: ModelRequest) -> Kind:
    """Return the kind of run that ``request`` asks for.

    Raises:
        ValueError: if it was not declared.
    """
    return KINDS.find(request.kind)


def _scan() -> None:
    """Import the modules that declare kinds, and register what each holds."""
    for file in sorted(_BACKEND.rglob("kind.py")):
        name = ".".join(("tokenarium.backend", *file.relative_to(_BACKEND).with_suffix("").parts))
        if name == __name__:
            continue
        module = import_module(name)
        for kind in getattr(module, "KINDS", None) or (module.KIND,):
            KINDS.register(kind)


KINDS: Registry[Kind] = Registry("kind", _scan)
