"""Difficulty by entropy: doubt in a text beside doubt in answers of known difficulty."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    import numpy as np

    from tokenarium.backend.judging.judgement import Judgement
    from tokenarium.backend.judging.passage import Passage

LEVELS: Mapping[str, tuple[int, int]] = {"easy": (1, 9), "middle": (10, 49), "hard": (50, 99)}
"""Smallest and largest number of the sums of each level."""
SOLVED = 4
"""Sums of the same level that stand above the one that is asked, with their answers."""
MOST_TOKENS = 5
"""Of an answer; it ends with its line."""


class DiffAdapt(Measure):
    """Mean entropy, and that of the model's own answers to sums of three levels."""

    slug: ClassVar[str] = "diffadapt"
    title: ClassVar[str] = "Difficulty by entropy (DiffAdapt)"
    short: ClassVar[str] = "entropy"
    explanation: ClassVar[str] = (
        "Compares how unsure the model is of the text with how unsure it is of its own answers to "
        "easy, middling and hard sums; the paper finds the least doubt in the middle."
    )
    paper: ClassVar[str] = "Liu et al., 2025, arXiv:2510.19669"
    differs: ClassVar[str] = (
        "the curve of difficulty alone, on sums of one and two digits: no probe is trained, and no "
        "budget is set by it"
    )
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "entropy before it"
    each_formula: ClassVar[str] = "-sum_x p(x) ln p(x), p = the distribution before the token"
    formula: ClassVar[str] = "mean of it over what is judged"
    interval: ClassVar[str] = "95 %, batch means (Student's t over 8 batches)"
    null_formula: ClassVar[str] = "mean entropy of each answer to a sum, of all levels together"
    details: ClassVar[Mapping[str, str]] = {
        **{
            f"{name}_nats": f"mean entropy of answers to sums of {low} to {high}"
            for name, (low, high) in LEVELS.items()
        },
        **{
            f"{name}_right": f"share of right answers to sums of {low} to {high}"
            for name, (low, high) in LEVELS.items()
        },
        "dip_nats": "the lower of the easy and the hard entropy, less the middle one: above 0 for "
        "the paper's U",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"model"})

    questions: int = Field(8, ge=2, le=48, description="Sums of each level that are asked.")

    def judge(self, passage: "Passage") -> "Judgement":
        """Return entropies of the text and of answers to sums."""
        import numpy as np

        from tokenarium.backend.analysis.intervals import batch_means
        from tokenarium.backend.judging.judgement import Judgement, Null

        draw = np.random.default_rng([passage.seed, 7])
        found = {
            name: [self.answered(passage, *_sum(draw, low, high)) for _ in range(self.questions)]
            for name, (low, high) in LEVELS.items()
        }
        doubt = {name: float(np.mean([nats for nats, _ in each])) for name, each in found.items()}
        right = {name: float(np.mean([good for _, good in each])) for name, each in found.items()}
        dip = min(doubt["easy"], doubt["hard"]) - doubt["middle"]
        measured, interval = float(passage.entropy.mean()), batch_means(passage.entropy)
        nan = float("nan")
        curve = ", ".join(
            f"{low} to {high}: {doubt[name]:.2f} nats, {right[name]:.0%} right"
            for name, (low, high) in LEVELS.items()
        )
        shape = "has its least in the middle" if dip > 0 else "has no dip in the middle"
        return Judgement(
            passage.entropy,
            measured,
            nan if interval is None else interval.low,
            nan if interval is None else interval.high,
            Null.of_draws([nats for each in found.values() for nats, _ in each], measured),
            passage.entropy > max(doubt.values()),
            {
                **{f"{name}_nats": nats for name, nats in doubt.items()},
                **{f"{name}_right": share for name, share in right.items()},
                "dip_nats": dip,
            },
            notes=(f"Difficulty by entropy: sums of {curve}; doubt {shape}",),
        )

    def answered(self, passage: "Passage", asked: str, answer: int) -> tuple[float, bool]:
        """Return the mean entropy of the model's greedy answer to a sum, and whether it is right.

        The end of its line is part of an answer.
        """
        import numpy as np
        import torch

        from tokenarium.backend.models.ordinary import leading_bos

        assert passage.loaded is not None
        assert passage.read is not None
        tokenizer = passage.loaded.tokenizer
        ids = [
            *leading_bos(passage.loaded),
            *tokenizer(asked, add_special_tokens=False)["input_ids"],
        ]
        written: list[int] = []
        entropies: list[float] = []
        said = ""
        while len(written) < MOST_TOKENS and "\n" not in said:
            states = passage.read([*ids, *written])[-1:]
            logs = torch.log_softmax(passage.loaded.unembed(states).double(), -1)[0]
            possible = logs[logs.isfinite()]
            entropies.append(-float((possible.exp() * possible).sum()))
            written.append(int(logs.argmax()))
            said = str(tokenizer.decode(written))
        return float(np.mean(entropies)), said.partition("\n")[0].strip() == str(answer)


def _sum(draw: "np.random.Generator", low: int, high: int) -> tuple[str, int]:
    """Return a sum that is asked below solved ones of its level, and its answer."""
    pairs = draw.integers(low, high + 1, (SOLVED + 1, 2)).tolist()
    solved = "".join(f"{one} + {two} = {one + two}\n" for one, two in pairs[:-1])
    one, two = pairs[-1]
    return f"{solved}{one} + {two} =", one + two
