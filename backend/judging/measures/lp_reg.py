"""Lp-Reg's reasoning sparks: unlikely tokens that a filter of noise keeps."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage, Rows


class LpReg(Measure):
    """Tokens below a probability that min-p does not take for noise."""

    slug: ClassVar[str] = "lp_reg"
    title: ClassVar[str] = "Unlikely tokens that are no noise (Lp-Reg)"
    short: ClassVar[str] = "unlikely, kept"
    explanation: ClassVar[str] = (
        "Finds tokens that the model thought unlikely and yet not noise: below a probability, but "
        "not far below the likeliest token. The paper protects them in training, as sparks."
    )
    paper: ClassVar[str] = "Huang et al., 2025, arXiv:2510.03222"
    differs: ClassVar[str] = "the list of tokens and its filter only, without the training"
    each_title: ClassVar[str] = "share of the likeliest token"
    each_formula: ClassVar[str] = (
        "p(x) / max p of a token below the threshold; NaN for likelier ones. Marked where at least "
        "kappa"
    )
    formula: ClassVar[str] = "share of tokens with p(x) < threshold and p(x) >= kappa max p"
    interval: ClassVar[str] = "95 %, Wilson"
    null_formula: ClassVar[str] = (
        "exact: tokens drawn from the model's distributions fall there with mass m = sum of such "
        "p(y); their number is a sum of independent draws"
    )
    details: ClassVar["Mapping[str, str]"] = {
        "unlikely": "share of tokens with p(x) < threshold",
        "kept_of_unlikely": "of those, the share that the filter keeps",
        "kl_nats": "mean KL(filtered and renormalised p || p) = -ln of the mass kept, over the "
        "marked tokens",
    }

    threshold: float = Field(
        0.05, gt=0, le=1, description="Probability below which a token is unlikely."
    )
    kappa: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Smallest share of the likeliest token's probability that is not noise.",
    )

    def rows(self, rows: "Rows") -> "dict[str, Tensor]":
        """Return p(x) and p(x) / max p, the mass of such tokens, and the mass that is kept."""
        probs = rows.log_probs.exp()
        highest = probs.amax(-1, keepdim=True)
        kept = probs >= self.kappa * highest
        chosen = probs.gather(1, rows.ids[:, None])
        return {
            "chosen": chosen[:, 0],
            "ratio": (chosen / highest)[:, 0],
            "mass": (probs * (kept & (probs < self.threshold))).sum(-1),
            "kept": (probs * kept).sum(-1),
        }

    def judge(self, passage: "Passage") -> "Judgement":
        """Return which unlikely tokens are kept, and how many the model itself would write."""
        import numpy as np

        from tokenarium.backend.judging.counting import sum_null, wilson
        from tokenarium.backend.judging.judgement import Judgement

        found, count = passage.rows, len(passage)
        unlikely = found["chosen"] < self.threshold
        marked = unlikely & (found["ratio"] >= self.kappa)
        hits, rare = int(marked.sum()), int(unlikely.sum())
        low, high = wilson(hits, count)
        return Judgement(
            np.where(unlikely, found["ratio"], np.nan),
            hits / count,
            low,
            high,
            sum_null(found["mass"], hits),
            marked,
            {
                "unlikely": rare / count,
                "kept_of_unlikely": hits / rare if rare else float("nan"),
                "kl_nats": float(-np.log(found["kept"][marked]).mean()) if hits else float("nan"),
            },
        )
