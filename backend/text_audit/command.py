"""The command ``audit``: every text of a file judged, one line each, and an exit status."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.imports.files import content_of
from tokenarium.backend.imports.reader import Source
from tokenarium.backend.imports.readers.generic import recorded_lines
from tokenarium.backend.runs.events import Event, Finished
from tokenarium.backend.runs.request import DType
from tokenarium.backend.runs.run import Run
from tokenarium.backend.text_audit.result import AuditResult

if TYPE_CHECKING:
    from tokenarium.backend.runs.lab import Lab

UNREADABLE = 2


@dataclass(frozen=True)
class AuditedFile:
    """What became of the texts of a file."""

    runs: tuple[Run, ...]
    """Of the texts that could be read."""
    lines: tuple[str, ...]
    """One sentence for each text."""
    status: int
    """1 if a text is wrong, else 2 if one cannot be read, else 3 if one cannot be judged, else
    0."""

    def as_json(self, lab: "Lab") -> str:
        """Return the reports as one JSON list, each with its definitions."""
        return f"[{','.join(lab.export(run.id) for run in self.runs)}]"


def audit_file(
    lab: "Lab", path: Path, model: str, dtype: DType, progress: Callable[[Event], None]
) -> AuditedFile:
    """Audit every line of a file of JSON lines.

    Args:
        lab: whose models read.
        path: of the file.
        model: to read with; empty for the one that each line names.
        dtype: to read in.
        progress: receives events.

    Raises:
        UserError: if the file itself cannot be read.
    """
    with told_in_words():
        recorded = recorded_lines(Source.of(content_of(path)))
    runs, lines, found = list[Run](), list[str](), set[int]()
    for number, line in enumerate(recorded, 1):
        name = line.id or f"line {number}"
        try:
            with told_in_words():
                request = line.audit_request(model, dtype)
            for event in lab.stream(request):
                progress(event)
                if isinstance(event, Finished):
                    runs.append(event.run)
                    result = event.run.result
                    assert isinstance(result, AuditResult)
                    found.add(result.exit_status)
                    lines.append(f"{name}: {in_a_line(result)}")
        except UserError as error:
            found.add(UNREADABLE)
            lines.append(f"{name}: unreadable: {error}")
    status = next((each for each in (1, UNREADABLE, 3) if each in found), 0)
    return AuditedFile(tuple(runs), tuple(lines), status)


def in_a_line(result: AuditResult) -> str:
    """Return the verdict with where and how sure, in plain text."""
    said = f"{result.verdict}, {len(result.token_ids)} tokens"
    if result.position >= 0:
        at = result.position
        said += (
            f"; token {at} is {result.token_text[at]!r}, {result.gap_nats:.3g} nats behind "
            f"{result.best_text[at]!r} (tolerance {result.tolerance_nats:g})"
        )
    if result.p_value == result.p_value:
        said += f"; p = {result.p_value:.2g}, power {result.power:.2f}"
    return said
