"""What an audit found: checks with their evidence."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Verdict = Literal["passed", "failed", "numeric tie", "not applicable"]
"""A numeric tie is a difference that rounding in the run's number format explains."""


@dataclass(frozen=True)
class Check:
    """One question about a run, and the answer."""

    name: str
    verdict: Verdict
    evidence: str
    """One sentence that a reader can verify."""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """All checks of a run."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of all that apply."""
        found = {check.verdict for check in self.checks}
        order: tuple[Verdict, ...] = ("failed", "numeric tie", "passed")
        return next((verdict for verdict in order if verdict in found), "not applicable")

    def __getitem__(self, name: str) -> Check:
        return next(check for check in self.checks if check.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Return verdict and checks as they are stored with a run."""
        return {"verdict": self.verdict, "checks": [asdict(check) for check in self.checks]}
