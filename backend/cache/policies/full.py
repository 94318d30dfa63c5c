"""Keep everything."""

from typing import ClassVar

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Label, NullScores, When


class Full(Policy):
    """The cache as models use it; every other policy is compared with it."""

    slug: ClassVar[str] = "full"
    title: ClassVar[str] = "Full cache"
    explanation: ClassVar[str] = "Keeps every token: the truth that the others approximate."
    paper: ClassVar[str] = "Vaswani et al., 2017, arXiv:1706.03762"
    label: ClassVar[Label] = "nothing"
    when: ClassVar[When] = "never"
    null_scores: ClassVar[NullScores] = "same"
