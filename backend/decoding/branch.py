"""A branch: tokens tried after the text, one after another, that may become part of it."""

from dataclasses import dataclass, field

from tokenarium.backend.decoding.next_token import NextToken
from tokenarium.backend.decoding.records import TokenRecord


@dataclass(eq=False)
class Branch:
    """Tokens after the text; made by ``Lane.fork``, continued by ``Lane.grow``."""

    number: int
    """From 1."""
    parent: int
    """Number of the branch that it left; 0 for the text."""
    start: int
    """Step of the first token of its own."""
    records: list[TokenRecord]
    """Of every token after the text, those of branches above included."""
    nodes: list[int]
    """Of the same tokens in the ``Stepper``."""
    own: int
    """Place of the first token of its own among them."""
    now: NextToken
    """What follows its last token."""
    score: float = float("nan")
    """The strategy's."""
    kept: int = field(default=0)
    """How many of its own tokens became part of the text."""

    @property
    def tokens(self) -> list[int]:
        """The tokens after the text, those of branches above included."""
        return [record.token for record in self.records]

    @property
    def log_probs(self) -> list[float]:
        """ln p of each by the model."""
        return [record.log_prob for record in self.records]

    @property
    def end(self) -> int:
        """Step of the token that would follow."""
        return self.start + len(self.records) - self.own
