"""The result of a run under KV-cache policies; its quantities are declared by subject.

P policies, T tokens of the prompt. Step 0 reads the prompt; step s >= 1 reads generated token
s - 1, which stands at position T + s - 1. Row s of a quantity per step describes what holds after
step s, and the distribution from which token s was chosen. What a policy had no time to reach, or
stopped before, is NaN or -1.
"""

from dataclasses import dataclass
from typing import ClassVar

from tokenarium.backend.cache.decision_quantities import DecisionQuantities
from tokenarium.backend.cache.policy_run import PolicyRun
from tokenarium.backend.cache.step_quantities import StepQuantities
from tokenarium.backend.runs.result import quantity


@dataclass(frozen=True)
class CacheResult(DecisionQuantities, StepQuantities):
    """The same prompt continued under several policies."""

    schema_version: ClassVar[int] = 6
    oldest_readable: ClassVar[int] = 2

    notes: tuple[tuple[str, ...], ...] = quantity(
        "notes", "P", "", "sentences, per policy", "What was done otherwise than one might expect."
    )
    general_notes: tuple[str, ...] = quantity(
        "notes on the run", "", "", "sentences", "What was cut or read in another way."
    )

    @property
    def runs(self) -> tuple[PolicyRun, ...]:
        """One view per policy, in the order asked for."""
        return tuple(PolicyRun(self, number) for number in range(len(self.policies)))
