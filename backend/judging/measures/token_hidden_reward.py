"""Token hidden reward: what training on one token does to the likelihood of the others."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage

MOST_TOKENS = 512
"""Every pair of tokens is compared."""


class TokenHiddenReward(Measure):
    """Inner products of the gradients of ln p with respect to the unembedding."""

    slug: ClassVar[str] = "token_hidden_reward"
    title: ClassVar[str] = "Token hidden reward"
    short: ClassVar[str] = "hidden reward"
    explanation: ClassVar[str] = (
        "Says how much a step of training on one token would raise (positive) or lower the "
        "likelihood of the answer, the last tokens of the text."
    )
    paper: ClassVar[str] = "Deng et al., 2025, arXiv:2510.03669"
    differs: ClassVar[str] = (
        "one text in place of a group of answers: the last tokens stand for the right answer, all "
        "tokens have advantage 1; the gradient is that of the unembedding alone, as in the paper"
    )
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "hidden reward"
    each_formula: ClassVar[str] = (
        "sum over answer tokens k other than j of <e(x_k) - p_k, e(x_j) - p_j> <h_k, h_j>: the "
        "change of ln p(answer) per unit step on ln p(x_j); h: state before the unembedding"
    )
    formula: ClassVar[str] = "mean of it over the tokens, per answer token"
    interval: ClassVar[str] = "95 %, batch means (Student's t over 8 batches)"
    null_formula: ClassVar[str] = (
        "the same with tokens x_j drawn from the model's own distributions: its mean is 0, since "
        "e(x) - p has mean 0"
    )
    details: ClassVar["Mapping[str, str]"] = {
        "lowering": "share of tokens whose training would lower the answer's likelihood",
        "own": "mean over answer tokens of their effect on themselves, |e(x) - p|^2 |h|^2",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"draws", "states", "model"})

    answer: int = Field(
        0, ge=0, le=MOST_TOKENS, description="Last tokens that are the answer; 0 for all of them."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return the hidden reward of every token.

        Raises: ValueError if there are more than 512 tokens to judge.
        """
        import numpy as np

        from tokenarium.backend.analysis.intervals import batch_means
        from tokenarium.backend.judging.gradient_products import influence
        from tokenarium.backend.judging.judgement import Judgement, Null

        count = len(passage)
        if count > MOST_TOKENS:
            raise ValueError(
                f"token_hidden_reward compares every pair of tokens, and {count} are judged, over "
                f"{MOST_TOKENS}: raise first to {passage.places[-MOST_TOKENS]}, or leave it out"
            )
        answer = min(self.answer or count, count)
        found = influence(passage, answer)
        measured, interval = float(found.others.mean() / answer), batch_means(found.others / answer)
        nan = float("nan")
        return Judgement(
            found.others,
            measured,
            nan if interval is None else interval.low,
            nan if interval is None else interval.high,
            Null.of_draws(found.drawn.mean(-1) / answer, measured),
            found.others < 0,
            {"lowering": float(np.mean(found.others < 0)), "own": float(found.own.mean())},
        )
