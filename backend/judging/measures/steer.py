"""STEER: how a step of training on a token would change the entropy it came from."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage, Rows


class Steer(Measure):
    """The published estimate of the entropy change beside the exact first-order one."""

    slug: ClassVar[str] = "steer"
    title: ClassVar[str] = "Entropy change of a token (STEER)"
    short: ClassVar[str] = "entropy change"
    explanation: ClassVar[str] = (
        "Says whether training on a token would make the model surer or less sure at that place; "
        "the published estimate keeps one of two terms and has the wrong sign at some tokens, "
        "which are marked."
    )
    paper: ClassVar[str] = "Hao et al., 2025, arXiv:2510.10150"
    differs: ClassVar[str] = (
        "advantage 1, the policy that drew the text is the one that reads it; the paper's estimate "
        "is a detail, the score is exact"
    )
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "entropy change"
    each_formula: ClassVar[str] = (
        "dH / d eta of one step eta on ln p(x) with free logits = S - p(x) (ln p(x) + H), "
        "S = sum_y p(y)^2 (ln p(y) + H); marked where the estimate has the other sign"
    )
    formula: ClassVar[str] = "mean of it over the tokens"
    interval: ClassVar[str] = "95 %, batch means (Student's t over 8 batches)"
    null_formula: ClassVar[str] = (
        "the same of tokens drawn from the model's own distributions, each after the text's prefix"
    )
    details: ClassVar["Mapping[str, str]"] = {
        "estimate": "mean of the published estimate, -(1 - p) p (ln p + H)",
        "correlation": "Pearson's, of estimate and exact change over the tokens",
        "same_sign": "share of tokens where both have one sign",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"draws"})

    def rows(self, rows: "Rows") -> "dict[str, Tensor]":
        """Return S of each distribution."""
        probs, logs = rows.log_probs.exp(), rows.log_probs.clamp_min(-1e18)
        entropy = -(probs * logs).sum(-1, keepdim=True)
        return {"squares": (probs**2 * (logs + entropy)).sum(-1)}

    def judge(self, passage: "Passage") -> "Judgement":
        """Return exact changes, and how far the estimate is from them."""
        import numpy as np

        from tokenarium.backend.analysis.intervals import batch_means
        from tokenarium.backend.judging.judgement import Judgement, Null

        probs, squares = np.exp(-passage.surprisal), passage.rows["squares"]
        above = passage.entropy - passage.surprisal  # ln p + H
        exact = squares - probs * above
        estimate = -(1 - probs) * probs * above
        logs = passage.drawn_log_probs.astype(np.float64)
        drawn = squares - np.exp(logs) * (logs + passage.entropy)
        measured, interval = float(exact.mean()), batch_means(exact)
        nan = float("nan")
        flat = exact.std() == 0 or estimate.std() == 0
        other = np.sign(exact) != np.sign(estimate)
        return Judgement(
            exact,
            measured,
            nan if interval is None else interval.low,
            nan if interval is None else interval.high,
            Null.of_draws(drawn.mean(-1), measured),
            other,
            {
                "estimate": float(estimate.mean()),
                "correlation": nan if flat else float(np.corrcoef(exact, estimate)[0, 1]),
                "same_sign": float(1 - other.mean()),
            },
        )
