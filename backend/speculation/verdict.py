"""Whether guessing ahead paid in a run, where that can be said."""

from dataclasses import dataclass

from tokenarium.backend.analysis.intervals import Interval, batch_means
from tokenarium.backend.speculation.result import SpeculationResult


@dataclass(frozen=True)
class SpeculationVerdict:
    """Time of a new token with drafts and without, in ms."""

    drafted: Interval
    """Over the rounds."""
    plain: Interval
    """Over the steps of autoregressive decoding in the same run."""

    @property
    def decided(self) -> bool:
        """Whether the intervals are apart."""
        return not self.drafted.overlaps(self.plain)

    @property
    def speedup(self) -> float:
        """How many times faster than autoregressive decoding."""
        return self.plain.value / self.drafted.value


def speculation_verdict(result: SpeculationResult) -> SpeculationVerdict | None:
    """Return how long a token took with drafts and without; None where too little was timed.

    Args:
        result: of a run, finished or not.
    """
    rounds = result.rounds
    times = rounds["draft_ms"] + rounds["verify_ms"] + rounds["other_ms"]
    drafted = batch_means(times, rounds["new_tokens"])
    plain = batch_means(result.plain_step_ms)
    if drafted is None or plain is None or not drafted.value > 0:
        return None
    return SpeculationVerdict(drafted, plain)
