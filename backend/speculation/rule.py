"""What an acceptance rule declares: which draws it is exact for, and its test of every child."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor

Promise = Literal["lossless", "relaxed"]
"""Whether the output has exactly the target's law, or is allowed to differ."""

_registered: dict[str, type["Rule"]] = {}


@dataclass(frozen=True)
class Trial:
    """The test of one child, given that those before it failed."""

    accept: float
    """Probability to accept it."""
    target: float
    """What the target's law, or what is left of it, gives the token at its turn."""
    draft: float
    """What the draft's law, renormalised at its turn, gives it; NaN where the rule needs none."""


@dataclass(frozen=True)
class Rest:
    """What follows when every child failed: the law [V] that the replacement is drawn from."""

    law: "Tensor"


class Rule(BaseModel):
    """One way to accept drafted tokens; subclassing registers it, fields are its parameters.

    Every random number is given from outside, so that a tree can be judged again and every outcome
    enumerated. Requests and stored runs are checked against subclasses, so they import torch inside
    functions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: ClassVar[str]
    """Name in requests."""
    title: ClassVar[str]
    """Name for people."""
    explanation: ClassVar[str]
    """What it does and why it is right, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    promise: ClassVar[Promise] = "lossless"
    """What the output's law is."""
    draws: ClassVar[frozenset[Draw]]
    """How children may have been drawn; with any other draw the output would be biased."""
    most_children: ClassVar[int | None] = None
    """Most children of a node that it can judge; None for any number."""
    at_zero: ClassVar[bool] = False
    """Whether it is for temperature 0, where it must hold for every draw; else for above 0."""
    one_draw: ClassVar[bool] = False
    """Whether one token is drawn and looked for among the children, in place of a test each."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "slug" not in cls.__dict__:
            return
        if cls.slug in _registered:
            raise TypeError(f"slug={cls.slug!r} is taken by {_registered[cls.slug].__name__}")
        _registered[cls.slug] = cls

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: Sequence[int]
    ) -> Iterator[Trial | Rest]:
        """Yield the test of each child in draw order, then what follows when all failed.

        The walk stops asking at the first child that is accepted.

        Args:
            target: [V] the target's law after the node, processed; any float dtype.
            draft: [V] the law the children were drawn from; None where there was none.
            children: token ids in draw order.
        """
        raise NotImplementedError


def registered() -> tuple[type[Rule], ...]:
    """Return every rule known so far, by title."""
    return tuple(sorted(_registered.values(), key=lambda rule: rule.title))


def find(slug: str) -> type[Rule]:
    """Return the rule named ``slug``.

    Raises:
        ValueError: if there is none, naming those there are.
    """
    if slug not in _registered:
        raise ValueError(f"rule={slug!r} is unknown: choose {', '.join(sorted(_registered))}")
    return _registered[slug]
