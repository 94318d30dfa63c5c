"""What is done to a model's distribution before a token is drawn, one visible step after another.

The steps and their order are those of transformers' ``generate``; top-n-sigma, which it does not
have, stands after the temperature, on which it does not depend.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.backend.speculation.distribution import (
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repeated,
)


@dataclass(frozen=True)
class Stage:
    """A distribution after one step."""

    name: str
    probs: Tensor
    """[V] float32, of sum 1."""


@dataclass(frozen=True)
class Pipeline:
    """The steps of one strategy; each has a value at which it changes nothing."""

    repetition_penalty: float = 1.0
    """Logits of tokens of the text so far are divided by it where positive, else multiplied."""
    temperature: float = 1.0
    """Logits are divided by it; 0 leaves the likeliest token alone."""
    top_n_sigma: float = 0.0
    """Logits so many standard deviations below the highest are out; 0 keeps all."""
    top_k: int = 0
    """Most tokens that keep probability; 0 for all."""
    top_p: float = 1.0
    """The likeliest tokens keep probability until they hold this share."""
    min_p: float = 0.0
    """Tokens below this share of the likeliest one's probability lose theirs."""
    typical_p: float = 1.0
    """Tokens whose surprisal is nearest to the entropy stay until they hold this share."""

    @property
    def names(self) -> tuple[str, ...]:
        """The model's own distribution, and every step that may change it, in order."""
        named = (
            (self.repetition_penalty != 1, f"repetition penalty {self.repetition_penalty:g}"),
            (self.temperature != 1, f"temperature {self.temperature:g}"),
            (self.top_n_sigma > 0, f"top-n-sigma {self.top_n_sigma:g}"),
            (self.top_k > 0, f"top-k {self.top_k}"),
            (self.top_p < 1, f"top-p {self.top_p:g}"),
            (self.min_p > 0, f"min-p {self.min_p:g}"),
            (self.typical_p < 1, f"typical {self.typical_p:g}"),
        )
        return ("model", *(name for acts, name in named if acts))

    def stages(self, logits: Tensor, probs: Tensor, path: Sequence[int]) -> list[Stage]:
        """Return the model's distribution and what each step makes of it.

        Args:
            logits: [V] float32.
            probs: [V] their softmax.
            path: all tokens before, prompt included; only the penalty reads them.
        """
        found = [probs]
        if self.repetition_penalty != 1:
            logits = logits.clone()
            known = [token for token in path if token >= 0]  # -1 stands for an embedding
            penalise_repeated(logits, known, self.repetition_penalty)
            found.append(torch.softmax(logits, -1))
        if self.temperature == 0:
            found.append(torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1.0))
        elif self.temperature != 1:
            logits = logits / self.temperature
            found.append(torch.softmax(logits, -1))
        if self.top_n_sigma > 0:
            found.append(_keep(found[-1], logits >= _least(logits, self.top_n_sigma)))
        if self.top_k > 0:
            found.append(keep_top_k(found[-1][None], min(self.top_k, len(logits)))[0])
        if self.top_p < 1:
            found.append(keep_top_p(found[-1][None], self.top_p)[0])
        if self.min_p > 0:
            found.append(keep_min_p(found[-1][None], self.min_p)[0])
        if self.typical_p < 1:
            found.append(keep_typical(found[-1], self.typical_p))
        return [Stage(name, probs) for name, probs in zip(self.names, found, strict=True)]


def keep_typical(probs: Tensor, share: float) -> Tensor:
    """Return the distribution [V] of the tokens whose surprisal is nearest to the entropy.

    Paper: Meister et al., 2022, arXiv:2202.00666.

    Args:
        probs: [V] of sum 1.
        share: the nearest tokens stay until they hold this share.
    """
    surprisal = -probs.log()
    entropy = (probs * surprisal).nansum()
    away = (surprisal - entropy).abs()  # infinite where the probability is 0
    order = away.argsort(stable=True)
    last = int((probs[order].cumsum(-1) < share).sum().clamp_max(len(probs) - 1))
    return _keep(probs, away <= away[order[last]])


def _least(logits: Tensor, count: float) -> Tensor:
    """Return the highest logit less ``count`` standard deviations of those that are finite.

    Paper: Tang et al., 2024, arXiv:2411.07641.
    """
    return logits.max() - count * logits[logits.isfinite()].std()


def _keep(probs: Tensor, kept: Tensor) -> Tensor:
    cut = probs.where(kept, 0)
    return cut / cut.sum()
