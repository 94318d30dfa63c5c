"""What an acceptance rule declares: which draws it is exact for, and its test of every child."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor

Promise = Literal["lossless", "relaxed"]
"""Whether the output has exactly the target's law, or is allowed to differ."""


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
class Trials:
    """The same of children of F nodes at once, all of the same rank among their siblings."""

    accept: "Tensor"
    """[F]"""
    target: "Tensor"
    """[F]"""
    draft: "Tensor | None" = None
    """[F]; None where the rule needs none."""


@dataclass(frozen=True)
class Rest:
    """What follows where every child failed: the laws that the replacements are drawn from."""

    law: "Tensor"
    """[F, V]"""


class Rule(Method):
    """One way to accept drafted tokens; subclassing registers it, fields are its parameters.

    Every random number is given from outside, so that a tree can be judged again and every outcome
    enumerated. Requests and stored runs are checked against subclasses, so they import torch inside
    functions.
    """

    registry: ClassVar[Registry[type["Rule"]]] = Registry(
        "rule", modules_of("tokenarium.backend.speculation.rules")
    )

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
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {}
    """By each other draw, mean and largest total variation distance from the target's law: what
    ``enumeration.bias`` finds with two children."""
    reads_draft: ClassVar[bool] = True
    """Whether it asks how likely the draft found a child; drawn nodes may be pruned where not."""
    most_children: ClassVar[int | None] = None
    """Most children of a node that it can judge; None for any number."""
    at_zero: ClassVar[bool] = False
    """Whether it is for temperature 0, where it must hold for every draw; else for above 0."""
    one_draw: ClassVar[bool] = False
    """Whether one token is drawn and looked for among the children, in place of a test each."""
    longest: ClassVar[bool] = False
    """Whether the walk takes the longest path that passes, the likeliest of equals, in place of the
    first child that does."""

    def trials(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[Trials | Rest]:
        """Yield the tests of the children in draw order, then what follows where all failed.

        A reader stops asking when it knows enough. No token without probability in the target's
        law is accepted or follows, whatever was drafted.

        Args:
            target: [F, V] the target's laws after F nodes, processed; float32 or float64.
            draft: [F, V] the laws the children were drawn from; None where there were none.
            children: [F, k] token ids in draw order.
        """
        raise NotImplementedError

    def bonus(self, target: "Tensor", uniform: "Tensor") -> "Tensor":
        """Return the tokens [F] after paths that were accepted to their end.

        Args:
            target: [F, V] the target's laws.
            uniform: [F] numbers in [0, 1), float64.
        """
        from tokenarium.backend.speculation.distribution import drawn

        return drawn(target, uniform)


find = Rule.registry.find
registered = Rule.registry.all
