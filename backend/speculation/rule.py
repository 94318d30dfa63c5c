"""What an acceptance rule declares: which draws it is exact for, and its test of every child."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.models.loaded import LoadedModel

Promise = Literal["lossless", "relaxed"]
"""Whether the output has exactly the target's distribution, or is allowed to differ."""


@dataclass(frozen=True)
class AcceptanceTest:
    """The test of one child, given that the siblings before it were rejected."""

    accept_prob: float
    """Probability to accept it."""
    target_prob: float
    """Its probability under the target's distribution, or under the residual at its turn."""
    draft_prob: float
    """Its probability under the draft's distribution, renormalised at its turn; NaN where the rule
    needs none."""


@dataclass(frozen=True)
class AcceptanceTests:
    """The same of children of F nodes at once, all of the same rank among their siblings."""

    accept_prob: "Tensor"
    """[F]"""
    target_prob: "Tensor"
    """[F]"""
    draft_prob: "Tensor | None" = None
    """[F]; None where the rule needs none."""


@dataclass(frozen=True)
class Residual:
    """The distributions that the next token is drawn from where every child was rejected."""

    probs: "Tensor"
    """[F, V]"""


class Rule(Method):
    """One way to accept drafted tokens; subclassing registers it, fields are its parameters.

    A rule answers one question: with which probability is each child of a node accepted, and what
    is the next token drawn from where none is. Every random number is given from outside, so that a
    tree can be verified again and every outcome enumerated. Requests and stored runs are checked
    against subclasses, so they import torch inside functions.

    Speculative sampling over three tokens, where the draft, which likes token 0, has drawn it:

    >>> import torch
    >>> target, draft = torch.tensor([[0.2, 0.5, 0.3]]), torch.tensor([[0.8, 0.1, 0.1]])
    >>> rule = Rule.registry.find("speculative_sampling")()
    >>> test, residual = rule.acceptance_tests(target, draft, children=torch.tensor([[0]]))
    >>> test.accept_prob  # min(1, 0.2 / 0.8)
    tensor([0.2500])
    >>> residual.probs  # target - draft where it is above 0, normalised
    tensor([[0.0000, 0.6667, 0.3333]])

    Token 0 comes out with probability 0.8 * 0.25 = 0.2, just as the target alone would give it.
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
    """Whether the output has the target's distribution."""
    exact_for: ClassVar[frozenset[Draw]]
    """How children may have been drawn; with any other draw the output would be biased."""
    measured_bias: ClassVar[Mapping[Draw, tuple[float, float]]] = {}
    """By each other draw, mean and largest total variation distance from the target's distribution:
    what ``enumeration.bias`` finds with two children."""
    reads_model: ClassVar[bool] = False
    """Whether it reads more of the model than distributions: it is then judged where it is a run's
    own rule, and not beside others, which would slow every round."""
    rereads: ClassVar[str] = ""
    """Text after which the target reads the drafted chain once more in the verifying pass, for
    ``of_readings``; empty where it reads once. For rules of one child that read the model."""
    needs_draft_probs: ClassVar[bool] = True
    """Whether it reads the draft's probability of a child; where it does not, drawn nodes may be
    pruned."""
    max_children: ClassVar[int | None] = None
    """Most children of a node that it can test; None for any number."""
    greedy_only: ClassVar[bool] = False
    """Whether it is for temperature 0, where it must hold for every draw; else for above 0."""
    one_sample: ClassVar[bool] = False
    """Whether one token is sampled and looked for among the children, in place of a test each."""
    longest_path: ClassVar[bool] = False
    """Whether the longest path that passes is accepted, the likeliest of equals, in place of the
    first child that does at every node."""

    def of_model(self, loaded: "LoadedModel") -> Self:  # noqa: ARG002
        """Return the rule for a target; one that knows its tokens by more than ids says so here."""
        return self

    def of_readings(self, target: "Tensor", again: "Tensor") -> "Tensor":  # noqa: ARG002
        """Return the distributions [F, V] that children are tested by; the target's here.

        Args:
            target: [F, V] the target's distributions after F nodes, processed.
            again: [F, V] those of the second reading, where the rule asks for one.
        """
        return target

    def acceptance_tests(
        self, target: "Tensor", draft: "Tensor | None", children: "Tensor"
    ) -> Iterator[AcceptanceTests | Residual]:
        """Yield the tests of the children in draw order, then the residual where all failed.

        The caller stops iterating when it knows enough. No token of probability 0 under the target
        is accepted or drawn, whatever was drafted.

        Args:
            target: [F, V] the target's distributions after F nodes, processed; float32 or float64.
            draft: [F, V] the distributions the children were drawn from; None where there are none.
            children: [F, k] token ids in draw order.
        """
        raise NotImplementedError

    def bonus(self, target: "Tensor", uniform: "Tensor") -> "Tensor":
        """Return the bonus tokens [F] after paths that were accepted to their end.

        Args:
            target: [F, V] the target's distributions.
            uniform: [F] numbers in [0, 1), float64.
        """
        from tokenarium.backend.speculation.distribution import sample

        return sample(target, uniform)
