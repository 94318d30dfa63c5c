"""What is seen of runs from outside: kind, model and times, and nothing that anybody wrote."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Literal

from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import Cancelled, Finished
from tokenarium.backend.runs.jobs import Job

Outcome = Literal["stored", "computed", "cancelled", "refused", "failed"]
"""``stored``: answered from the store; ``refused``: what a person can mend, or too many wait."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ObservedRun:
    """One request as it ended."""

    kind: str
    """Slug of its kind."""
    model: str
    """Name of its model; empty unless that was used, for a name may be anybody's words."""
    outcome: Outcome
    waited_s: float = 0.0
    """Time from the request to its turn."""
    run_s: float = 0.0
    """Time from its turn to its end."""


Observer = Callable[[ObservedRun], None]


class Observers:
    """Who is told of every request; the log always is."""

    def __init__(self) -> None:
        self._others: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Have ``observer`` called for every request from now on, in the thread that ends it."""
        self._others.append(observer)

    def __call__(self, run: ObservedRun) -> None:
        """Pass on what was observed; nobody's failure reaches a run."""
        _log.info("run", extra={"fields": asdict(run)})
        for observer in self._others:
            with suppress(Exception):
                observer(run)

    @contextmanager
    def refusals(self, kind: str) -> Iterator[None]:
        """Observe that a request is refused before it waits."""
        try:
            yield
        except UserError:
            self(ObservedRun(kind, "", "refused"))
            raise

    def ended(self, job: Job, model: str, outcome: Finished | BaseException) -> None:
        """Observe that a run ended.

        Args:
            job: that ended.
            model: its name.
            outcome: its run, or what ended it.
        """
        now = time.perf_counter()
        began = job.began or now
        waited_s, run_s = began - job.asked, now - began
        known = model if isinstance(outcome, Finished) else ""
        self(ObservedRun(job.ticket.request.kind, known, _named(outcome), waited_s, run_s))


def _named(outcome: Finished | BaseException) -> Outcome:
    if isinstance(outcome, Finished):
        return "stored" if outcome.run.cached else "computed"
    if isinstance(outcome, Cancelled):
        return "cancelled"
    return "refused" if isinstance(outcome, UserError) else "failed"
