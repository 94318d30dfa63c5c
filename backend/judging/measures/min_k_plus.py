"""Min-K%++: the same, each token beside what its distribution expected."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.detection import DETAILS
from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage

LEAST_SPREAD = 1e-6
"""Nats: a distribution on one token has no spread to divide by."""


class MinKPlus(Measure):
    """ln p less its mean under p, over its standard deviation under p; then the lowest share."""

    slug: ClassVar[str] = "min_k_plus"
    title: ClassVar[str] = "Min-K%++"
    short: ClassVar[str] = "Min-K%++"
    explanation: ClassVar[str] = (
        "Averages how far below expectation the least likely tokens are: ln p, standardised by "
        "what the model expected at that place."
    )
    paper: ClassVar[str] = "Zhang et al., 2024, arXiv:2404.02936"
    unit: ClassVar[str] = ""
    each_title: ClassVar[str] = "standardised surprisal"
    each_formula: ClassVar[str] = (
        "(-ln p(x) - entropy) / sqrt(varentropy); marked where it is among the highest share"
    )
    formula: ClassVar[str] = (
        "mean over the lowest share of the tokens of (ln p(x) - mu) / sigma, mu = sum_y p(y) ln "
        "p(y) = -entropy, sigma = sqrt(varentropy)"
    )
    interval: ClassVar[str] = "95 %, moving blocks of n^(1/3) tokens"
    null_formula: ClassVar[str] = (
        "the same of tokens drawn from the model's own distributions, each after the text's "
        "prefix; a single token then has mean 0 and variance 1"
    )
    details: ClassVar["Mapping[str, str]"] = DETAILS
    needs: ClassVar[frozenset[Need]] = frozenset({"draws"})

    share: float = Field(
        0.2, gt=0, le=1, description="Share of the tokens, the lowest ones, that count."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return the mean of the lowest share, beside that of drawn tokens."""
        import numpy as np

        from tokenarium.backend.judging.lowest import judge_lowest

        spread = np.maximum(np.sqrt(passage.varentropy), LEAST_SPREAD)
        own = (passage.entropy - passage.surprisal) / spread
        drawn = (passage.entropy + passage.drawn_log_probs) / spread
        return judge_lowest(passage, own, drawn, self.share)
