"""Embers of autoregression: how likely the input is, the output alone, and after the input."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from tokenarium.backend.judging.measure import Measure, Need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tokenarium.backend.judging.judgement import Judgement, Numbers
    from tokenarium.backend.judging.passage import Passage


class Embers(Measure):
    """What the input adds to the likelihood of the output, beside that of the output alone."""

    slug: ClassVar[str] = "embers"
    title: ClassVar[str] = "Input and output probability (Embers)"
    short: ClassVar[str] = "input's help"
    explanation: ClassVar[str] = (
        "Splits a text into input and output, and says how likely each is by itself and what the "
        "input adds: a model does better where the output is likely anyway."
    )
    paper: ClassVar[str] = "McCoy et al., 2023, arXiv:2309.13638"
    differs: ClassVar[str] = (
        "the probabilities of one input and output, without the paper's pairs of tasks; the output "
        "is what is judged, or the second half of the text where all of it is"
    )
    unit: ClassVar[str] = "nats"
    each_unit: ClassVar[str] = "nats"
    each_title: ClassVar[str] = "what the input adds"
    each_formula: ClassVar[str] = (
        "ln p(x | input, output before) - ln p(x | output before); NaN for the input, and for the "
        "first token of the output where no BOS can stand before it"
    )
    formula: ClassVar[str] = "mean of it over the output"
    interval: ClassVar[str] = "95 %, batch means (Student's t over 8 batches)"
    null_formula: ClassVar[str] = "the same with the tokens of the input in another order"
    details: ClassVar["Mapping[str, str]"] = {
        "input_log_prob": "mean of ln p over the input",
        "output_log_prob": "mean of ln p over the output, read alone",
        "output_after_input": "mean of ln p over the output, read after the input",
    }
    needs: ClassVar[frozenset[Need]] = frozenset({"states", "model"})

    orders: int = Field(
        19, ge=1, le=200, description="Other orders of the input that are read for the null."
    )

    def judge(self, passage: "Passage") -> "Judgement":
        """Return what the input adds to each token of the output."""
        import numpy as np

        from tokenarium.backend.analysis.intervals import batch_means
        from tokenarium.backend.judging.judgement import Judgement, Null
        from tokenarium.backend.models.ordinary import leading_bos

        assert passage.loaded is not None
        assert passage.read is not None
        assert passage.states is not None
        ids, bos = passage.ids.tolist(), leading_bos(passage.loaded)
        begin = len(bos) if bos and ids[: len(bos)] == bos else 0
        split = int(passage.places[0])
        if split <= max(begin, 1):  # nothing is read before what is judged
            split = int(passage.places[len(passage) // 2])
        output = ids[split:]
        log_probs = self._log_probs(passage, passage.states, ids)
        alone = self._log_probs(passage, passage.read([*bos, *output]), [*bos, *output])
        own = alone if bos else np.concatenate([[np.nan], alone])
        after = log_probs[split - 1 :]
        adds = after - own
        known = adds[np.isfinite(adds)]
        measured, interval = float(known.mean()), batch_means(known)
        draw = np.random.default_rng([passage.seed, 4])
        null = []
        for _ in range(self.orders):
            other = [*ids[:begin], *draw.permutation(ids[begin:split]).tolist(), *output]
            again = self._log_probs(passage, passage.read(other), other)[split - 1 :]
            null.append(np.nanmean(again - own))
        each = np.full(len(passage), np.nan)
        at = passage.places >= split
        each[at] = adds[passage.places[at] - split]
        nan = float("nan")
        return Judgement(
            each,
            measured,
            nan if interval is None else interval.low,
            nan if interval is None else interval.high,
            Null.of_draws(null, measured),
            details={
                "input_log_prob": float(log_probs[: split - 1].mean()) if split > 1 else nan,
                "output_log_prob": float(np.nanmean(own)),
                "output_after_input": float(after.mean()),
            },
            notes=(f"Embers: the output is tokens {split} to {len(ids) - 1}",),
        )

    def _log_probs(self, passage: "Passage", states: "Tensor", ids: list[int]) -> "Numbers":
        """Return [T - 1] ln p of every token but the first."""
        import numpy as np
        import torch

        assert passage.loaded is not None
        parts = [np.zeros(0)]
        for start in range(0, len(ids) - 1, 64):
            stop = min(start + 64, len(ids) - 1)
            logs = torch.log_softmax(passage.loaded.unembed(states[start:stop]).float(), -1)
            wanted = torch.tensor(ids[start + 1 : stop + 1], device=logs.device)[:, None]
            parts.append(logs.gather(1, wanted)[:, 0].double().cpu().numpy())
        return np.concatenate(parts)
