"""A text as measures see it: the tokens that are judged, and the distributions they came from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.judging.judgement import Null, Numbers

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.models.loaded import LoadedModel


@dataclass(frozen=True)
class Rows:
    """Some judged tokens, r of them, with the whole distribution that each came from."""

    log_probs: "Tensor"
    """[r, V] float32, ln of the distribution before each token."""
    ids: "Tensor"
    """[r] the tokens."""
    places: "Tensor"
    """[r] their positions in the text."""


@dataclass(frozen=True)
class Passage:
    """T tokens of which n are judged; quantities of a token are of the distribution before it."""

    ids: NDArray[np.int64]
    """[T] all tokens, those that are only read too."""
    texts: tuple[str, ...]
    """[T] each decoded alone."""
    places: NDArray[np.int64]
    """[n] positions of those that are judged, ascending; never the first of the text."""
    surprisal: Numbers
    """[n] -ln p of the token."""
    entropy: Numbers
    """[n] of the distribution that it came from."""
    varentropy: Numbers
    """[n] of the same."""
    drawn_ids: NDArray[np.int32]
    """[D, n] tokens drawn from these distributions in place of those of the text; [0, n] where the
    measure does not need them."""
    drawn_log_probs: NDArray[np.float32]
    """[D, n] ln of their probabilities."""
    rows: Mapping[str, Numbers]
    """[n] what the measure's own ``rows`` returned, by name."""
    seed: int
    states: "Tensor | None" = None
    """[T, d] final-normed states of the last layer, where the measure needs them."""
    loaded: "LoadedModel | None" = None
    """Where the measure reads other texts with it."""
    read: "Callable[[Sequence[int]], Tensor] | None" = None
    """Ids to their final-normed states, likewise; stops where the run is cancelled."""

    check: Callable[[], None] = lambda: None
    """Raises where the run is cancelled."""

    def __len__(self) -> int:
        return len(self.places)

    def null_of_draws(self, score: Callable[[Numbers], float], measured: float) -> Null:
        """Return the null of a score of [n] ln p: tokens drawn from the model's distributions."""
        drawn = self.drawn_log_probs.astype(np.float64)
        return Null.of_draws([score(row) for row in drawn], measured)
