"""What Min-K% and Min-K%++ share: the mean of the lowest share of a series."""

from functools import partial

import numpy as np

from tokenarium.backend.judging.detection import against_draws
from tokenarium.backend.judging.judgement import Judgement, Null, Numbers
from tokenarium.backend.judging.passage import Passage
from tokenarium.backend.judging.resampling import block_interval


def lowest_mean(values: Numbers, share: float) -> float:
    """Return the mean of the lowest ``share`` of ``values`` [n], at least of one of them."""
    count = max(1, int(share * len(values)))
    return float(np.partition(values, count - 1)[:count].mean())


def judge_lowest(passage: Passage, own: Numbers, drawn: Numbers, share: float) -> Judgement:
    """Judge a text by the lowest share of a series.

    Args:
        passage: the text.
        own: [n] the series of the text.
        drawn: [D, n] the same of tokens drawn from the model.
        share: that counts.
    """
    score = partial(lowest_mean, share=share)
    measured = score(own)
    low, high = block_interval(len(own), lambda at: score(own[at]), passage.seed)
    count = max(1, int(share * len(own)))
    marked = np.zeros(len(own), np.bool_)
    marked[np.argsort(own, kind="stable")[:count]] = True
    return Judgement(
        -own,
        measured,
        low,
        high,
        Null.of_draws([score(row) for row in drawn], measured),
        marked,
        against_draws(passage, own, drawn, score),
    )
