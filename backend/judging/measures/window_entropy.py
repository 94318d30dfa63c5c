"""Window entropy: where a model stays in doubt for some tokens."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage


class WindowEntropy(Measure):
    """Mean entropy of a token and those after it, and whether doubt comes in bursts."""

    slug: ClassVar[str] = "window_entropy"
    title: ClassVar[str] = "Window entropy (ARES)"
    short: ClassVar[str] = "window entropy"
    explanation: ClassVar[str] = (
        "Averages entropy over a window that begins at the token, which single tokens' noise does "
        "not decide; the score says whether doubt comes in bursts."
    )
    paper: ClassVar[str] = "Chen et al., 2025, arXiv:2510.08457"
    differs: ClassVar[str] = (
        "the window's length and the share of marked windows are choices; the measure only, "
        "without the training"
    )
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "window entropy"
    each_formula: ClassVar[str] = (
        "mean of the entropy before the tokens t .. t + window - 1; NaN in the last window - 1"
    )
    formula: ClassVar[str] = (
        "variance of the window entropies over variance of the entropies / window: 1 where "
        "neighbours have nothing in common, window where they are alike"
    )
    interval: ClassVar[str] = "95 %, moving blocks of 4 windows"
    null_formula: ClassVar[str] = "the same entropies in another order"
    details: ClassVar["Mapping[str, str]"] = {
        "mean_entropy_nats": "mean of the entropies",
        "highest_nats": "highest window entropy",
        "line_nats": "window entropy from which on windows are marked",
    }

    window: int = Field(8, ge=1, le=64, description="Tokens of a window.")
    top: float = Field(
        0.05, gt=0, le=1, description="Share of the windows, the highest ones, that are marked."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return window entropies and their burstiness, beside that of other orders."""
        import numpy as np

        from tokenarium.backend.judging.judgement import Judgement, Null
        from tokenarium.backend.judging.resampling import block_interval, other_orders

        entropy = passage.entropy
        means = np.full(len(entropy), np.nan)
        if len(entropy) < self.window:
            note = (
                f"Window entropy: {len(entropy)} tokens are fewer than the window's {self.window}"
            )
            return Judgement(means, np.nan, notes=(note,))
        found = self.means(entropy)
        means[: len(found)] = found
        line = float(np.quantile(found, 1 - self.top, method="higher"))
        measured = self.burstiness(entropy)

        def again(at: "np.typing.NDArray[np.int_]") -> float:
            return self.burstiness(entropy[at])

        low, high = block_interval(len(entropy), again, passage.seed, 4 * self.window)
        return Judgement(
            means,
            measured,
            low,
            high,
            Null.of_draws(other_orders(len(entropy), again, passage.seed), measured),
            np.nan_to_num(means, nan=-1) >= line,
            {
                "mean_entropy_nats": float(entropy.mean()),
                "highest_nats": float(found.max()),
                "line_nats": line,
            },
        )

    def means(self, values: "Numbers") -> "Numbers":
        """Return [n - window + 1] means of consecutive values."""
        import numpy as np

        return np.asarray(np.lib.stride_tricks.sliding_window_view(values, self.window).mean(-1))

    def burstiness(self, values: "Numbers") -> float:
        """Return the variance of window means in units of what independent values have."""
        spread = values.var()
        return float(self.means(values).var() / (spread / self.window)) if spread else float("nan")
