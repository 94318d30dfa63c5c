"""SAR: surprisal weighed by how much a token matters to what is said."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage

MOST_TOKENS = 256
"""Each is left out once, and the text read again."""


class Sar(Measure):
    """Surprisal, each token weighed by how the text's embedding moves without it."""

    slug: ClassVar[str] = "sar"
    title: ClassVar[str] = "Uncertainty by relevance (SAR)"
    short: ClassVar[str] = "relevant surprisal"
    explanation: ClassVar[str] = (
        "Averages surprisal with the weight of how much the meaning changes without a token, so "
        "that surprise about filler words counts for little."
    )
    paper: ClassVar[str] = "Duan et al., 2023, arXiv:2307.01379"
    differs: ClassVar[str] = (
        "similarity is the cosine of the model's own mean last states, the paper's is that of a "
        "sentence encoder; tokens are left out by place, all of a kind at once in the paper's code"
    )
    unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "weight"
    each_formula: ClassVar[str] = (
        "n R_i / sum of R, R_i = 1 - cosine of the mean last state of the judged tokens with and "
        "without token i: 1 for a token of usual weight"
    )
    formula: ClassVar[str] = "sum over tokens of R_i / sum of R x -ln p(x_i)"
    interval: ClassVar[str] = "95 %, moving blocks of n^(1/3) tokens, weights as measured"
    null_formula: ClassVar[str] = "the same weights on the tokens in another order"
    details: ClassVar["Mapping[str, str]"] = {
        "mean_surprisal": "mean of -ln p: the score where all weights are equal",
        "highest_weight": "largest weight of a token",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"states", "model"})

    def judge(self, passage: "Passage") -> "Judgement":
        """Return weights and weighed surprisal.

        Raises: ValueError if there are more than 256 tokens to judge.
        """
        import numpy as np

        from tokenarium.backend.judging.judgement import Judgement, Null
        from tokenarium.backend.judging.resampling import block_interval, other_orders

        count = len(passage)
        if count > MOST_TOKENS:
            raise ValueError(
                f"sar reads the text once for each judged token, and {count} are judged, over "
                f"{MOST_TOKENS}: raise first to {passage.places[-MOST_TOKENS]}, or leave it out"
            )
        moved = self.relevance(passage)
        weights = count * moved / moved.sum() if moved.sum() > 0 else np.ones(count)
        surprisal = passage.surprisal

        def score(weight: "Numbers", values: "Numbers") -> float:
            return float((weight * values).sum() / weight.sum())

        measured = score(weights, surprisal)
        low, high = block_interval(
            count, lambda at: score(weights[at], surprisal[at]), passage.seed
        )
        null = other_orders(count, lambda at: score(weights[at], surprisal), passage.seed)
        return Judgement(
            weights,
            measured,
            low,
            high,
            Null.of_draws(null, measured),
            details={
                "mean_surprisal": float(surprisal.mean()),
                "highest_weight": float(weights.max()),
            },
        )

    def relevance(self, passage: "Passage") -> "Numbers":
        """Return [n] one less the cosine of the text's mean state with and without each token."""
        import numpy as np
        import torch

        assert passage.states is not None
        assert passage.read is not None
        ids, places = passage.ids.tolist(), passage.places
        whole = passage.states[torch.as_tensor(places)].float().mean(0)
        found = np.zeros(len(places))
        for number, place in enumerate(places.tolist()):
            left = [other - (other > place) for other in places.tolist() if other != place]
            states = passage.read(ids[:place] + ids[place + 1 :])
            mean = states[torch.as_tensor(left)].float().mean(0)
            found[number] = 1 - float(torch.cosine_similarity(whole, mean, dim=0))
        return np.maximum(found, 0)
