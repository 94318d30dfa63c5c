"""Surface repetition: words that come again, and runs of tokens that do."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage


class Repetition(Measure):
    """Tokens that end a run which stood earlier in the text."""

    slug: ClassVar[str] = "repetition"
    title: ClassVar[str] = "Surface repetition"
    short: ClassVar[str] = "repeated run"
    explanation: ClassVar[str] = (
        "Counts tokens that end a run of n tokens seen before, beside how often the model itself "
        "would repeat there; greedy text of a small model loops, and this shows where."
    )
    paper: ClassVar[str] = (
        "Carlsson et al., 2024, arXiv:2412.04318; Welleck et al., 2019, arXiv:1908.04319"
    )
    differs: ClassVar[str] = "measures of surface repetition only; nothing is trained"
    each_unit: ClassVar[str] = "tokens"
    each_title: ClassVar[str] = "longest repeated run"
    each_formula: ClassVar[str] = (
        "tokens of the longest run that ends here and stood earlier in the text, at most 64"
    )
    formula: ClassVar[str] = "share of tokens that end a run of n tokens which stood earlier"
    interval: ClassVar[str] = (
        "95 %, batch means (Student's t over 8 batches); Wilson where none or all repeat"
    )
    null_formula: ClassVar[str] = (
        "the same of tokens drawn from the model's own distributions, each after the text's prefix"
    )
    details: ClassVar["Mapping[str, str]"] = {
        "type_token_ratio": "different tokens / tokens, mean over windows of the given length; of "
        "the whole text where it is shorter",
        "distinct_1": "different tokens / tokens, of the whole text",
        "distinct_n": "different runs of n tokens / runs of n tokens",
        "longest_run": "tokens of the longest run that comes again",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"draws"})

    n: int = Field(4, ge=1, le=32, description="Tokens of a run.")
    window: int = Field(
        96, ge=8, le=4096, description="Tokens of a window for the type-token ratio."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return where the text repeats itself, and how often the model would."""
        import numpy as np

        from tokenarium.backend.analysis.intervals import batch_means
        from tokenarium.backend.judging.counting import wilson
        from tokenarium.backend.judging.judgement import Judgement, Null
        from tokenarium.backend.judging.repeats import longest_before, seen_before

        ids, places = passage.ids, passage.places
        own = seen_before(ids, places, ids[places][None], self.n)[0]
        drawn = seen_before(ids, places, passage.drawn_ids, self.n)
        run = longest_before(ids)[places].astype(float)
        measured = float(own.mean())
        interval = batch_means(own)
        low = high = float("nan")
        if interval is not None:
            # None or all of them: batches without any spread say nothing of what else may come.
            alike = own.all() or not own.any()
            low, high = wilson(int(own.sum()), len(own)) if alike else (interval.low, interval.high)
        judged = ids[places]
        return Judgement(
            run,
            measured,
            float(np.clip(low, 0, 1)),
            float(np.clip(high, 0, 1)),
            Null.of_draws(drawn.mean(-1), measured),
            own,
            {
                "type_token_ratio": self._windowed(judged),
                "distinct_1": len(np.unique(judged)) / len(judged),
                "distinct_n": self._distinct(judged),
                "longest_run": float(run.max()),
            },
        )

    def _windowed(self, ids: "NDArray[Any]") -> float:
        import numpy as np

        size = min(self.window, len(ids))
        windows = np.lib.stride_tricks.sliding_window_view(ids, size)
        # Overlapping windows by a quarter: all of them would cost n times as much for one mean.
        return float(np.mean([len(np.unique(row)) / size for row in windows[:: max(1, size // 4)]]))

    def _distinct(self, ids: "NDArray[Any]") -> float:
        import numpy as np

        if len(ids) < self.n:
            return float("nan")
        runs = np.lib.stride_tricks.sliding_window_view(ids, self.n)
        return len(np.unique(runs, axis=0)) / len(runs)
