"""What a measure of a text declares; the page, the documents and the contract tests follow."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage, Rows

Need = Literal["draws", "states", "model"]
"""What is expensive: tokens drawn from the model's distributions, the last layer's states, and the
model itself, which reads other texts."""


class Measure(Method):
    """One way to judge a text; subclassing registers it, its fields are its parameters.

    A subclass overrides ``judge``, and ``rows`` where it needs whole distributions. The share of
    tokens that were the model's first guess::

        class FirstGuess(Measure):
            slug = "first_guess"
            title = short = "First guesses"
            explanation = "Share of tokens that the model would have written."
            paper = "none; a baseline"
            each_title, each_formula = "first guess", "1 if x = argmax p, else 0"
            formula, interval = "their mean", "none"
            null_formula = "expected: mean of max p, for tokens drawn from p"

            def rows(self, rows):
                return {"first": (rows.log_probs.argmax(-1) == rows.ids).float()}

            def judge(self, passage):
                first = passage.rows["first"]
                return Judgement(first, first.mean())

    Requests and stored runs are checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Measure"]]] = Registry(
        "measure", modules_of("tokenarium.backend.judging.measures")
    )

    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    short: ClassVar[str]
    """What its button says over the coloured text."""
    unit: ClassVar[str] = ""
    """Of the score."""
    each_unit: ClassVar[str] = ""
    """Of the number of a token."""
    each_title: ClassVar[str]
    """What the number of a token is called."""
    each_formula: ClassVar[str]
    """How the number of a token is computed."""
    formula: ClassVar[str]
    """How the score is computed."""
    interval: ClassVar[str]
    """How the score's interval is made."""
    null_formula: ClassVar[str]
    """What the null is: the same score where its cause is absent."""
    details: ClassVar[Mapping[str, str]] = {}
    """Formulas of further numbers, by name."""
    needs: ClassVar[frozenset[Need]] = frozenset()

    def rows(self, rows: "Rows") -> "Mapping[str, Tensor]":  # noqa: ARG002
        """Return [r] numbers of some tokens, from their whole distributions, by name."""
        return {}

    def judge(self, passage: "Passage") -> "Judgement":
        """Return what the measure says of a text.

        Raises:
            ValueError: if a parameter does not fit the text or the model.
        """
        raise NotImplementedError
