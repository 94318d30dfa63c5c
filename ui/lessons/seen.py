"""What a check judges: the run in sight, what is chosen in it, and what the student answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tokenarium.backend import (
    CacheResult,
    DecodedLane,
    DecodeResult,
    PolicyRun,
    Run,
    SpeculationResult,
    SweepResult,
    TraceResult,
    UserError,
)
from tokenarium.ui.characters import named
from tokenarium.ui.shell.selection import Chosen
from tokenarium.ui.text import one_line

R = TypeVar("R")


@dataclass(frozen=True)
class Verdict:
    """Whether a check is passed, and one sentence on what was seen."""

    passed: bool
    said: str


@dataclass(frozen=True)
class Seen:
    """What stands on the page, read by the server; of the browser comes only which it is."""

    run: Run
    chosen: Chosen
    """The selection, inside of what the run has."""
    begun: Run
    """The stored run that the step opens with."""
    view: str = ""
    round: int = 0
    node: int | None = None
    answer: str = ""
    beside: Mapping[str, Run] = field(default_factory=dict)
    """By section, such as sweep, the other runs on the page."""

    @property
    def trace(self) -> TraceResult:
        """The result of a run of Explore."""
        return _of(self.run, TraceResult, "a text read on Explore")

    @property
    def cache(self) -> CacheResult:
        """The result of a run of Cache."""
        return _of(self.run, CacheResult, "a run of the Cache page")

    @property
    def policy(self) -> PolicyRun:
        """What the chosen policy did."""
        result = self.cache
        known = dict(zip(result.policies, result.runs, strict=True))
        return known.get(self.chosen.policy or "", result.runs[-1])

    @property
    def speculation(self) -> SpeculationResult:
        """The result of a run of Speculate."""
        return _of(self.run, SpeculationResult, "a run of the Speculate page")

    @property
    def lane(self) -> DecodedLane:
        """The chosen lane of a run of Decode; where none is chosen, the last."""
        lanes = _of(self.run, DecodeResult, "a run of the Decode page").lanes
        return lanes[min(len(lanes) - 1 if self.node is None else self.node, len(lanes) - 1)]

    @property
    def sweep(self) -> SweepResult:
        """The result of the sweep on the Cache page."""
        found = self.beside.get("sweep")
        if found is None:
            raise UserError("no trade-off is in sight: press Start again to open it")
        return _of(found, SweepResult, "a sweep")

    def token(self, place: int) -> str:
        """Return a token of the run as a sentence has it."""
        result = self.run.result
        texts = result.token_text if isinstance(result, TraceResult) else self.cache.prompt_text
        return f"“{one_line(named(texts)[place]).strip()}”"


def _of(run: Run, kind: type[R], what: str) -> R:
    if not isinstance(run.result, kind):
        raise UserError(f"the run in sight is not {what}: press Start again to open the step's run")
    return run.result
