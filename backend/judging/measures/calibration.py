"""Calibration: whether a model is right as often as it is sure."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.judging.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage, Rows

BINS = 5
TIMES = 200


class CalibrationError(Measure):
    """The model's next-token confidence against how often the text says the same."""

    slug: ClassVar[str] = "calibration"
    title: ClassVar[str] = "Calibration of confidence"
    short: ClassVar[str] = "calibration"
    explanation: ClassVar[str] = (
        "Compares how sure the model is of its likeliest token with how often that token is the "
        "one that stands in the text; the known answers are the text's own tokens."
    )
    paper: ClassVar[str] = "Guo et al., 2017, arXiv:1706.04599"
    differs: ClassVar[str] = (
        "bins of equal numbers of tokens instead of equal widths, so that each share has an "
        "interval of about the same width"
    )
    each_title: ClassVar[str] = "confidence less right"
    each_formula: ClassVar[str] = "max p - (1 if x = argmax p, else 0)"
    formula: ClassVar[str] = (
        "expected calibration error: tokens in 5 bins by max p, mean over the bins, by their "
        "tokens, of |mean of max p - share right|"
    )
    interval: ClassVar[str] = "95 %, moving blocks; an absolute value, so biased upwards in few"
    null_formula: ClassVar[str] = (
        "the same confidences, right with exactly that probability: what a calibrated model gives"
    )
    details: ClassVar["Mapping[str, str]"] = {
        "right": "share of tokens that were the likeliest",
        "confidence": "mean of max p",
        **{
            f"bin_{number}_{name}": f"{words}, bin {number} of {BINS} by max p"
            for number in range(1, BINS + 1)
            for name, words in (
                ("confidence", "mean of max p"),
                ("right", "share right"),
                ("low", "lower end of its 95 % interval (Wilson)"),
                ("high", "upper end of its 95 % interval (Wilson)"),
            )
        },
    }

    def rows(self, rows: "Rows") -> "Mapping[str, Tensor]":
        """Return max p, and whether that token stands in the text."""
        best = rows.log_probs.max(-1)
        return {"confidence": best.values.exp(), "right": (best.indices == rows.ids).float()}

    def judge(self, passage: "Passage") -> "Judgement":
        """Return the error, and every bin of the reliability diagram."""
        import numpy as np

        from tokenarium.backend.judging.counting import wilson
        from tokenarium.backend.judging.judgement import Judgement, Null
        from tokenarium.backend.judging.resampling import block_interval

        sure, right = passage.rows["confidence"], passage.rows["right"]
        measured = self.error(sure, right)
        draw = np.random.default_rng([passage.seed, 3])
        drawn = (draw.random((TIMES, len(sure))) < sure).astype(np.float64)
        low, high = block_interval(
            len(sure), lambda at: self.error(sure[at], right[at]), passage.seed
        )
        found = {"right": float(right.mean()), "confidence": float(sure.mean())}
        for number, own in enumerate(self.bins(sure), 1):
            if not len(own):
                continue
            least, most = wilson(int(right[own].sum()), len(own))
            found |= {
                f"bin_{number}_confidence": float(sure[own].mean()),
                f"bin_{number}_right": float(right[own].mean()),
                f"bin_{number}_low": least,
                f"bin_{number}_high": most,
            }
        return Judgement(
            sure - right,
            measured,
            low,
            high,
            Null.of_draws([self.error(sure, row) for row in drawn], measured),
            details=found,
        )

    def bins(self, sure: "Numbers") -> "list[np.typing.NDArray[np.int_]]":
        """Return the places of each bin, least sure first; equal numbers, ties in their order."""
        from tokenarium.backend.judging.reliability import equal_bins

        return equal_bins(sure, BINS)

    def error(self, sure: "Numbers", right: "Numbers") -> float:
        """Return the expected calibration error."""
        from tokenarium.backend.judging.reliability import calibration_error

        return calibration_error(sure, right, BINS)
