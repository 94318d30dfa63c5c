"""The sink as a bias: how far queries point to the first token's key, whatever they are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage

OTHERS = 64
"""Other keys with which the first is compared, evenly spread over the text."""


class SinkBias(Measure):
    """The angle between every query and the first key, in the heads that park attention there.

    A sink whose logit hardly depends on the query acts as a bias: its share that is constant is
    mean(l)^2 / mean(l^2) over the queries' logits l.
    """

    slug: ClassVar[str] = "sink_bias"
    title: ClassVar[str] = "The sink as a bias (key bias)"
    short: ClassVar[str] = "sink angle"
    explanation: ClassVar[str] = (
        "Tells how closely each token's queries point to the key of the first token, in the heads "
        "that park their attention there, beside how closely they point to other keys."
    )
    paper: ClassVar[str] = "Gu et al., 2024, arXiv:2410.10781"
    differs: ClassVar[str] = (
        "angles are of queries and keys after position encoding, as attention multiplies them, and "
        "are averaged over heads of all layers"
    )
    each_title: ClassVar[str] = "cosine to the first key"
    each_formula: ClassVar[str] = "mean over sink heads of cos(q_t, k_0), q_t of the token itself"
    formula: ClassVar[str] = "mean of it over what is judged"
    interval: ClassVar[str] = "95 %, batch means (Student's t over 8 batches)"
    null_formula: ClassVar[str] = (
        "mean of cos(q_t, k_j) over the queries after j, for each of up to 64 other keys j"
    )
    details: ClassVar[Mapping[str, str]] = {
        "sink_heads": "heads whose mean attention to the first token is above the threshold",
        "heads": "all heads of layers that attend",
        "spread": "standard deviation of cos(q_t, k_0) over queries, mean over those heads",
        "constant": "mean(l)^2 / mean(l^2), l = q_t k_0, mean over those heads: 1 for a bias",
        "constant_others": "the same for the other keys",
        "value_ratio": "|v_0| over the median |v_j|, mean over those heads",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"model"})

    threshold: float = Field(
        0.3, gt=0, lt=1, description="Mean attention to the first token that makes a sink head."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return cosines of tokens and what they say of the sink."""
        import numpy as np

        from tokenarium.backend.analysis.intervals import batch_means
        from tokenarium.backend.judging.judgement import NAN, Judgement, Null

        found = self.by_head(passage)
        sinks = found["attention"] > self.threshold
        chosen = sinks if sinks.any() else np.ones_like(sinks)
        with np.errstate(invalid="ignore"):
            each = _mean(found["cosine"][chosen][:, passage.places], 0)
        measured, interval = float(np.nanmean(each)), batch_means(each)
        note = () if sinks.any() else (
            f"The sink as a bias: no head gives the first token {self.threshold:g} of its "
            "attention, so all heads are averaged",
        )  # fmt: skip
        details = {
            "sink_heads": float(sinks.sum()),
            "heads": float(len(sinks)),
            **{
                name: float(np.nanmean(found[name][chosen]))
                for name in ("spread", "constant", "constant_others", "value_ratio")
            },
        }
        return Judgement(
            each,
            measured,
            NAN if interval is None else interval.low,
            NAN if interval is None else interval.high,
            Null.of_draws(_mean(found["others"][chosen], 0), measured),
            details=details,
            notes=note,
        )

    def by_head(self, passage: "Passage") -> dict[str, Any]:
        """Return for all h heads of the layers that attend, one layer's after another's.

        ``attention`` [h] to the first key, ``cosine`` [h, T] (NaN where a window hides it),
        ``others`` [h, o] mean cosines to other keys, and [h] ``spread``, ``constant``,
        ``constant_others`` and ``value_ratio``.
        """
        import numpy as np
        import torch

        from tokenarium.backend.judging.sink_angles import SinkAngles
        from tokenarium.backend.observe import recording

        assert passage.loaded is not None
        ids = passage.ids.tolist()
        angles = SinkAngles(len(ids), OTHERS, passage.check)
        with torch.inference_mode(), recording(angles):
            tokens = torch.tensor([ids], device=passage.loaded.device)
            passage.loaded.body(input_ids=tokens, use_cache=False)
        return {name: np.concatenate(rows) for name, rows in angles.found.items()}


def _mean(values: Any, axis: int) -> Any:
    """Return the mean of what is a number; NaN where nothing is."""
    import numpy as np

    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0).sum(axis), known.sum(axis)
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
