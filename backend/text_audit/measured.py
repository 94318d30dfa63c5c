"""What the model says of every generated token: likeliest token, gap, rank, probability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.text_audit.reading import Rows

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Of S generated tokens, each with what the model says before it."""

    best: NDArray[np.int64]
    """[S] the likeliest token, the first of equals."""
    gap: Doubles
    """[S] largest logit less the logit of the token given."""
    rank: NDArray[np.int64]
    """[S] tokens with a larger logit."""
    logprob: Doubles
    """[S] ln p of the token given; -inf where it could not be drawn."""
    raw_logprob: Doubles
    """[S] the same of the softmax of the logits, nothing else done to them."""
    entropy: Doubles
    """[S] of the distribution drawn from, nats."""
    likelier: Doubles
    """[S] probability of all tokens that are likelier than the one given."""
    outside: Doubles
    """[S] how far the logit given is below the smallest that could be drawn; 0 where it could."""


def measured(rows: Rows) -> Measured:
    """Return what the model says of some tokens."""
    ids = rows.ids[:, None]
    logits, probs = rows.logits.double(), rows.probs
    given, own = logits.gather(-1, ids), probs.gather(-1, ids)
    drawable = logits.masked_fill(probs <= 0, float("inf")).amin(-1)
    columns: dict[str, Any] = {
        "best": logits.argmax(-1),
        "gap": logits.amax(-1) - given[:, 0],
        "rank": (logits > given).sum(-1),
        "logprob": own[:, 0].log(),
        "raw_logprob": given[:, 0] - logits.logsumexp(-1),
        "entropy": -(probs * probs.clamp_min(1e-300).log()).sum(-1),
        "likelier": (probs * (probs > own)).sum(-1),
        "outside": (drawable - given[:, 0]).clamp_min(0),
    }
    return Measured(**{name: column.cpu().numpy() for name, column in columns.items()})


def joined(parts: Sequence[Measured]) -> Measured:
    """Return the parts of one text as one."""
    return Measured(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Measured.__dataclass_fields__
        }
    )
