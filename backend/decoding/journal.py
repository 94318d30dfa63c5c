"""The journal of a lane: what was considered, what was done and why, what it cost."""

from itertools import pairwise
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Action = Literal[
    "take",
    "consider",
    "pause",
    "branch",
    "look_ahead",
    "drop",
    "roll_back",
    "switch",
    "stop",
    "refuse",
]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
"""What a row of the journal says; ``action`` is an index into it."""

MEANINGS: Final[dict[Action, str]] = {
    "take": "became part of the text",
    "consider": "was weighed as the next token",
    "pause": "writing stopped to look closer",
    "branch": "was tried as the first token of a branch",
    "look_ahead": "was tried as a further token of a branch",
    "drop": "the branch was left",
    "roll_back": "was taken back out of the text",
    "switch": "writing goes on in another mode",
    "stop": "writing ends here",
    "refuse": "may not stand here",
}

JOURNAL: Final = np.dtype(
    [
        ("lane", np.int16),
        ("step", np.int32),
        ("branch", np.int32),
        ("parent", np.int32),
        ("token", np.int32),
        ("probability", np.float32),
        ("score", np.float32),
        ("rank", np.int32),
        ("action", np.int8),
        ("reason", np.int32),
        ("entropy_nats", np.float32),
        ("varentropy_nats2", np.float32),
        ("entropy_after_nats", np.float32),
        ("varentropy_after_nats2", np.float32),
        ("passes", np.int32),
        ("token_steps", np.int32),
    ]
)
"""Columns of a row. ``step``: new tokens before this one; ``branch``: 0 for the text itself, and
``parent`` the branch that it left; ``token``: -1 where the row is about none; ``probability`` and
``rank`` (0 for the likeliest) by the model's own distribution before it; ``score``: the strategy's,
NaN without; ``reason``: index into ``reasons``, -1 for none; entropies of the distribution in which
the token was chosen, and of the one after it, NaN where it was not read; ``passes`` and
``token_steps`` of the lane so far."""

TOKEN: Final = np.dtype(
    [
        ("lane", np.int16),
        ("token_id", np.int32),
        ("branch", np.int32),
        ("probability", np.float32),
        ("final_probability", np.float32),
        ("rank", np.int32),
        ("entropy_nats", np.float32),
        ("varentropy_nats2", np.float32),
        ("passes", np.int32),
        ("token_steps", np.int32),
        ("seconds", np.float32),
    ]
)
"""Columns of a new token: the branch it was tried on first, 0 for none; its probability by the
model and after every step; its rank; entropy and varentropy of the model's distribution; passes,
tokens read and seconds of the lane until it was part of the text."""

BRANCH: Final = np.dtype(
    [
        ("lane", np.int16),
        ("branch", np.int32),
        ("parent", np.int32),
        ("start", np.int32),
        ("tokens", np.int32),
        ("kept", np.int32),
        ("log_prob", np.float32),
        ("score", np.float32),
    ]
)
"""Columns of a branch: the branch it left (0 for the text), the step of its first token, its own
tokens, how many of them became part of the text, the sum of their ln p by the model, and the
strategy's score, NaN without."""


class Journal:
    """The rows of one lane, in the order they were written."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []
        self.reasons: dict[str, int] = {}

    def add(
        self,
        step: int,
        action: Action,
        *,
        branch: int = 0,
        parent: int = -1,
        token: int = -1,
        probability: float = float("nan"),
        score: float = float("nan"),
        rank: int = -1,
        reason: str = "",
        before: tuple[float, float] = (float("nan"), float("nan")),
        after: tuple[float, float] = (float("nan"), float("nan")),
        spent: tuple[int, int] = (0, 0),
    ) -> None:
        """Write a row; columns as of ``JOURNAL``, entropies and what was spent as pairs."""
        why = self.reasons.setdefault(reason, len(self.reasons)) if reason else -1
        number = ACTIONS.index(action)
        head = [step, branch, parent, token, probability, score, rank, number, why]
        self.rows.append([*head, *before, *after, *spent])

    def array(self, lane: int, reasons: dict[str, int]) -> NDArray[np.void]:
        """Return the rows, reasons numbered by those of the run, to which new ones are added."""
        numbers = {
            own: reasons.setdefault(text, len(reasons)) for text, own in self.reasons.items()
        }
        found = np.zeros(len(self.rows), JOURNAL)
        found["lane"] = lane
        names = JOURNAL.names[1:] if JOURNAL.names else ()
        if self.rows:
            for name, column in zip(names, zip(*self.rows, strict=True), strict=True):
                found[name] = column
        found["reason"] = [numbers.get(int(why), -1) for why in found["reason"]]
        _entropies_after(found)
        return found


def _entropies_after(rows: NDArray[np.void]) -> None:
    """Fill in what is known after a token of the text: what stood before the next one."""
    taken = np.flatnonzero(rows["action"] == ACTIONS.index("take"))
    for row, following in pairwise(taken):
        if rows["step"][following] == rows["step"][row] + 1:
            for name in ("entropy", "varentropy"):
                unit = "nats" if name == "entropy" else "nats2"
                rows[f"{name}_after_{unit}"][row] = rows[f"{name}_{unit}"][following]
