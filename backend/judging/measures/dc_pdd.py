"""DC-PDD: likely tokens that are rare in ordinary text."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.detection import DETAILS
from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage


class DCPDD(Measure):
    """p(x) ln 1/f(x) of first occurrences, f the frequency in a corpus."""

    slug: ClassVar[str] = "dc_pdd"
    title: ClassVar[str] = "DC-PDD"
    short: ClassVar[str] = "DC-PDD"
    explanation: ClassVar[str] = (
        "Weighs how likely a token is by how rare it is in ordinary text: a model that finds rare "
        "tokens likely may have read the text. Of one text it proves nothing."
    )
    paper: ClassVar[str] = "Zhang et al., 2024, arXiv:2409.14781"
    differs: ClassVar[str] = (
        "frequencies are counted in the 200 short English texts that come with this application, "
        "the paper's in 15 files of C4"
    )
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "calibrated probability"
    each_formula: ClassVar[str] = (
        "min(p(x) ln 1/f(x), cap) of the first occurrence of a token; NaN for later ones; "
        "f = (count + 1) / (tokens of the corpus + V). Marked where the cap is reached"
    )
    formula: ClassVar[str] = "mean of it over first occurrences"
    interval: ClassVar[str] = "95 %, moving blocks of n^(1/3) first occurrences"
    null_formula: ClassVar[str] = (
        "the same, at the same places, of tokens drawn from the model's own distributions"
    )
    details: ClassVar["Mapping[str, str]"] = {
        **DETAILS,
        "corpus_tokens": "tokens of the corpus with this model's tokenizer",
        "known": "share of the first occurrences that the corpus has",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"draws", "model"})

    cap: float = Field(0.01, gt=0, le=100, description="Most that a token counts for, in nats.")

    def judge(self, passage: "Passage") -> "Judgement":
        """Return the score, beside that of drawn tokens."""
        import numpy as np

        from tokenarium.backend.judging.detection import against_draws
        from tokenarium.backend.judging.frequencies import frequencies
        from tokenarium.backend.judging.judgement import Judgement, Null
        from tokenarium.backend.judging.resampling import block_interval

        assert passage.loaded is not None
        table = frequencies(passage.loaded)
        ids = passage.ids[passage.places]
        first = np.isin(np.arange(len(ids)), np.unique(ids, return_index=True)[1])
        own = self.weighed(-passage.surprisal, table.log_inverse(ids))
        drawn = self.weighed(passage.drawn_log_probs, table.log_inverse(passage.drawn_ids))
        chosen = own[first]
        measured = float(chosen.mean())
        low, high = block_interval(len(chosen), lambda at: chosen[at].mean(), passage.seed)
        return Judgement(
            np.where(first, own, np.nan),
            measured,
            low,
            high,
            Null.of_draws(drawn[:, first].mean(-1), measured),
            first & (own >= self.cap),
            {
                **against_draws(passage, own, drawn, lambda values: float(values.mean())),
                "corpus_tokens": float(table.total),
                "known": float(np.mean([table.counts.get(int(key), 0) > 0 for key in ids[first]])),
            },
        )

    def weighed(self, log_probs: "ArrayLike", rare: "ArrayLike") -> "Numbers":
        """Return min(p ln 1/f, cap) of ln p and ln 1/f."""
        import numpy as np

        return np.minimum(np.exp(np.asarray(log_probs, np.float64)) * rare, self.cap)
