"""Min-K%: the tokens that a model found least likely."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.detection import DETAILS
from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage


class MinK(Measure):
    """Mean ln p of the least likely share of the tokens."""

    slug: ClassVar[str] = "min_k"
    title: ClassVar[str] = "Min-K%"
    short: ClassVar[str] = "Min-K%"
    explanation: ClassVar[str] = (
        "Averages ln p over the least likely tokens: a text that a model was trained on has fewer "
        "tokens that surprise it. Of one text it proves nothing: see the null and the bound."
    )
    paper: ClassVar[str] = "Shi et al., 2023, arXiv:2310.16789"
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "surprisal"
    each_formula: ClassVar[str] = "-ln p(x); marked where it is among the highest share"
    formula: ClassVar[str] = "mean of ln p(x) over the lowest share of the tokens"
    interval: ClassVar[str] = "95 %, moving blocks of n^(1/3) tokens"
    null_formula: ClassVar[str] = (
        "the same of tokens drawn from the model's own distributions, each after the text's prefix"
    )
    details: ClassVar["Mapping[str, str]"] = DETAILS
    needs: ClassVar[frozenset[Need]] = frozenset({"draws"})

    share: float = Field(
        0.2, gt=0, le=1, description="Share of the tokens, the least likely ones, that count."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return mean ln p of the lowest share, beside that of drawn tokens."""
        from tokenarium.backend.judging.lowest import judge_lowest

        return judge_lowest(
            passage, -passage.surprisal, passage.drawn_log_probs.astype(float), self.share
        )
