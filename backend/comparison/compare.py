"""Which stored runs can stand beside each other, and by whom they are laid so."""

from collections.abc import Sequence

from tokenarium.backend.comparison.result import RunComparison
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.kind import KINDS, imported, kind_of
from tokenarium.backend.runs.run import Run

MOST = 6


def refuse_ids(ids: Sequence[str]) -> None:
    """Refuse anything but two to six different ids.

    Raises:
        UserError: in words.
    """
    if isinstance(ids, str) or not all(isinstance(each, str) and each for each in ids):
        raise UserError(f"ids={ids!r:.80}: give a list of ids, one for each run")
    if not 2 <= len(ids) <= MOST:
        raise UserError(f"ids has {len(ids)}: give 2 to {MOST} stored runs to compare")
    if twice := next((each for each in ids if list(ids).count(each) > 1), None):
        raise UserError(f"ids has {twice} twice: a run does not differ from itself, leave one out")


def comparable(run: Run) -> bool:
    """Return whether runs of this kind can be laid beside each other."""
    return bool(KINDS.find(run.request.kind).compare)


def compare_runs(runs: Sequence[Run]) -> RunComparison:
    """Lay stored runs beside the first of them.

    Raises:
        UserError: if their kinds differ, or runs of their kind cannot be compared.
    """
    first = runs[0]
    for other in runs[1:]:
        if other.request.kind != first.request.kind:
            raise UserError(
                f"{first.id} is a {first.request.kind} and {other.id} a {other.request.kind}: "
                "compare runs of one kind"
            )
    kind = kind_of(first.request)  # type: ignore[arg-type]
    if not kind.compare:
        known = ", ".join(each.slug for each in KINDS.all() if each.compare)
        raise UserError(
            f"{first.id} is a {kind.slug}: runs of these kinds can be compared: {known}"
        )
    found: RunComparison = imported(kind.compare)(runs)
    return found
