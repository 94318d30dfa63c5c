"""What an intervention declares; everything else about it is derived from that."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change

Acts = Literal["edit", "mask", "reshape"]
"""What is really done: other tokens are read, keys are hidden, or weights are computed anew."""

_registered: dict[str, type["Intervention"]] = {}


@dataclass(frozen=True)
class Edited:
    """The tokens of the changed run, T' of them."""

    ids: list[int]
    aligned: list[int]
    """Position in the plain run of each token; -1 where it has none."""


class Intervention(BaseModel):
    """One way to change a run; subclassing registers it, its fields are its parameters.

    A subclass overrides ``edit`` to change what is read, or ``changes`` to change attention.
    Requests and stored runs are checked against subclasses, so they import torch inside functions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: ClassVar[str]
    """Name of the method in requests."""
    title: ClassVar[str]
    """Name of the method for people."""
    explanation: ClassVar[str]
    """What it does and why, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper."""
    acts: ClassVar[Acts]
    """What is really done, whatever the paper calls it."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.slug in _registered:
            raise TypeError(f"slug={cls.slug!r} is taken by {_registered[cls.slug].__name__}")
        _registered[cls.slug] = cls

    def edit(self, loaded: "LoadedModel", ids: list[int]) -> Edited:
        """Return what the changed run reads instead of ``ids``, T of them.

        Raises:
            ValueError: if the text or the model does not allow it.
        """
        return Edited(ids, list(range(len(ids))))

    def changes(self, loaded: "LoadedModel", heads: int) -> "dict[int, Change]":
        """Return the change in each layer that has one; ``heads`` is the number in every layer.

        Raises:
            ValueError: if a parameter or the model does not allow it.
        """
        return {}


def registered() -> tuple[type[Intervention], ...]:
    """Return every intervention known so far, by title."""
    return tuple(sorted(_registered.values(), key=lambda method: method.title))


def find(slug: str) -> type[Intervention]:
    """Return the intervention named ``slug``.

    Raises:
        ValueError: if there is none, naming those there are.
    """
    if slug not in _registered:
        raise ValueError(
            f"intervention={slug!r} is unknown: choose {', '.join(sorted(_registered))}"
        )
    return _registered[slug]
