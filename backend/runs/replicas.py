"""Waiting for another replica of the program that computes the same run on the same database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tokenarium.backend.runs.events import Progress
from tokenarium.backend.runs.jobs import Job
from tokenarium.backend.runs.repository import RunRepository

ELSEWHERE = "waiting for another replica, which computes the same"


@contextmanager
def alone(
    job: Job, repository: RunRepository, identity: Callable[[], str | None]
) -> Iterator[None]:
    """Let no other replica compute the run of ``job`` meanwhile; who waits is told so.

    Args:
        job: whose turn it is here.
        repository: where its run goes.
        identity: returns what the answer depends on beside the request, if that is known.

    Raises:
        Cancelled: if cancelled while waiting.
    """
    if job.replaces or not repository.store.replicated:
        yield
        return
    said = False

    def waiting() -> None:
        nonlocal said
        job.cancel.check()
        if not said:
            said = True
            job.channel.put(Progress(ELSEWHERE, 0, 1))

    with repository.computing(job.ticket.request, identity() or "", job.run_owner, waiting):
        yield
