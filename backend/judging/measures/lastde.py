"""Lastde: how likely the tokens are, over how unevenly their likelihoods vary in time."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.detection import DETAILS
from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage


class Lastde(Measure):
    """Mean ln p over the standard deviation of diversity entropies at several scales."""

    slug: ClassVar[str] = "lastde"
    title: ClassVar[str] = "Lastde"
    short: ClassVar[str] = "Lastde"
    explanation: ClassVar[str] = (
        "Divides the mean ln p by how much the diversity of its ups and downs differs between "
        "scales: made to tell text that a model wrote (nearer 0) from text that a person wrote."
    )
    paper: ClassVar[str] = "Xu et al., 2024, arXiv:2410.06072"
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "surprisal"
    each_formula: ClassVar[str] = "-ln p(x)"
    formula: ClassVar[str] = (
        "mean of ln p / std over scales s = 1 .. scales of DE_s; DE_s = entropy of a histogram of "
        "cosines between neighbouring windows of the s-token running mean of ln p, bins n x bins "
        "over [-1, 1], divided by ln of the number of bins"
    )
    interval: ClassVar[str] = (
        "95 %, delete-a-block jackknife of 16 blocks: drawing blocks again would "
        "join ends that make other cosines"
    )
    null_formula: ClassVar[str] = (
        "the same of tokens drawn from the model's own distributions, each after the text's prefix"
    )
    details: ClassVar["Mapping[str, str]"] = {
        **DETAILS,
        "mean_log_prob": "mean of ln p: the numerator",
        "diversity_deviation": "the denominator",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"draws"})

    window: int = Field(3, ge=2, le=16, description="Tokens of a window whose cosines are taken.")
    scales: int = Field(5, ge=2, le=32, description="Scales, from 1 token up.")
    bins: int = Field(10, ge=1, le=100, description="Bins of the histogram for each token.")

    def judge(self, passage: "Passage") -> "Judgement":
        """Return the score, beside that of drawn tokens."""
        import math

        from tokenarium.backend.judging.detection import against_draws
        from tokenarium.backend.judging.judgement import Judgement
        from tokenarium.backend.judging.resampling import jackknife_interval

        own = -passage.surprisal
        measured = self.score(own)
        notes: tuple[str, ...] = ()
        if math.isnan(measured):
            notes = (
                f"Lastde: {len(own)} tokens are too few, or alike at every scale: it needs more "
                f"than {self.window + self.scales}",
            )
        low, high = jackknife_interval(own, self.score)
        drawn = passage.drawn_log_probs.astype(float)
        return Judgement(
            passage.surprisal,
            measured,
            low,
            high,
            passage.null_of_draws(self.score, measured),
            details={
                **against_draws(passage, own, drawn, self.score),
                "mean_log_prob": float(own.mean()),
                "diversity_deviation": self.deviation(own),
            },
            notes=notes,
        )

    def score(self, series: "Numbers") -> float:
        """Return mean over deviation of ``series`` [n]; NaN where it is too short or constant."""
        deviation = self.deviation(series)
        return float(series.mean() / deviation) if deviation > 0 else float("nan")

    def deviation(self, series: "Numbers") -> float:
        """Return the standard deviation over scales of the diversity entropy; NaN if too short."""
        import numpy as np

        if len(series) < self.window + self.scales + 1:
            return float("nan")
        bins = self.bins * len(series)
        scales = range(1, self.scales + 1)
        return float(np.std([self._diversity(series, s, bins) for s in scales], ddof=1))

    def _diversity(self, series: "Numbers", scale: int, bins: int) -> float:
        import numpy as np

        means = np.lib.stride_tricks.sliding_window_view(series, scale).mean(-1)
        windows = np.lib.stride_tricks.sliding_window_view(means, self.window)
        length = np.linalg.norm(windows, axis=-1)
        product = (windows[:-1] * windows[1:]).sum(-1)
        cosine = product / np.maximum(length[:-1] * length[1:], 1e-8)
        # Bins without a cosine count for nothing: only those that have one are counted.
        place = np.minimum(((np.clip(cosine, -1, 1) + 1) / 2 * bins).astype(np.int64), bins - 1)
        share = np.unique(place, return_counts=True)[1] / len(place)
        return float(-(share * np.log(share)).sum() / np.log(bins))
