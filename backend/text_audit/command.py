"""The command ``audit``: every text of files judged, one line each, and an exit status.

Each text is a run of its own: as many are computed at once as runs of a model are, and what was
judged before comes from the store, so that a command that was interrupted goes on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tokenarium.backend.errors import UserError, told_in_words
from tokenarium.backend.imports.files import content_of
from tokenarium.backend.imports.reader import Source
from tokenarium.backend.imports.readers.generic import recorded_lines
from tokenarium.backend.runs.events import CancelToken, Event, Progress
from tokenarium.backend.runs.request import DType
from tokenarium.backend.runs.run import Run
from tokenarium.backend.text_audit.result import AuditResult

if TYPE_CHECKING:
    from tokenarium.backend.imports.schema import RecordedLine
    from tokenarium.backend.runs.lab import Lab

UNREADABLE = 2


@dataclass(frozen=True)
class AuditedFiles:
    """What became of the texts of files, in their order."""

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


@dataclass(frozen=True)
class _Text:
    """A text that is to be judged."""

    name: str
    line: "RecordedLine"


def audit_files(
    lab: "Lab",
    paths: Sequence[Path],
    model: str,
    dtype: DType,
    progress: Callable[[Event], None],
    cancel: CancelToken | None = None,
) -> AuditedFiles:
    """Audit every line of files of JSON lines.

    Args:
        lab: whose models read, wherever its runs are computed.
        paths: of the files; each text is named by its file, too, where there are several.
        model: to read with; empty for the one that each line names.
        dtype: to read in.
        progress: receives events.
        cancel: stops it; texts that were judged are stored.

    Raises:
        UserError: if a file itself cannot be read.
        Cancelled: if it was cancelled.
    """
    texts = [text for path in paths for text in _texts(path, several=len(paths) > 1)]
    cancel = cancel or CancelToken()
    done = 0

    def judged(text: _Text) -> tuple[Run | None, str, int]:
        nonlocal done
        cancel.check()
        found = _judged(lab, text, model, dtype, cancel)
        done += 1
        progress(Progress("judging texts", done, len(texts)))
        return found

    with ThreadPoolExecutor(lab.at_once) as pool:
        try:
            answers = list(pool.map(judged, texts))
        except BaseException:
            cancel.cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    found = {status for _, _, status in answers}
    status = next((each for each in (1, UNREADABLE, 3) if each in found), 0)
    runs = tuple(run for run, _, _ in answers if run is not None)
    return AuditedFiles(runs, tuple(line for _, line, _ in answers), status)


def _texts(path: Path, *, several: bool) -> list[_Text]:
    with told_in_words():
        recorded = recorded_lines(Source.of(content_of(path)))
    names = [line.id or f"line {number}" for number, line in enumerate(recorded, 1)]
    before = f"{path}, " if several else ""
    return [_Text(f"{before}{name}", line) for name, line in zip(names, recorded, strict=True)]


def _judged(
    lab: "Lab", text: _Text, model: str, dtype: DType, cancel: CancelToken
) -> tuple[Run | None, str, int]:
    """Return the run of a text, what is said of it, and its status."""
    try:
        with told_in_words():
            request = text.line.audit_request(model, dtype)
        run = lab.run(request, cancel=CancelToken(cancel))
    except UserError as error:
        return None, f"{text.name}: unreadable: {error}", UNREADABLE
    result = run.result
    assert isinstance(result, AuditResult)
    return run, f"{text.name}: {in_a_line(result)}", result.exit_status


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
