"""The log as one JSON object a line, without a word that a visitor wrote."""

import json
import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

OWN = __name__.partition(".")[0]


class JsonLines(logging.Formatter):
    """One line a record: time, level, logger, message, and the fields that were given with it.

    What other libraries put into their messages may quote a text, so of theirs stands the unfilled
    template alone, or the place in the code; of an error its type and place, never its message.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            line |= {"error": kind.__name__, "at": _places(trace)}
        line |= getattr(record, "fields", {})
        return json.dumps(line)


def begin() -> None:
    """Write every record of this process to stderr as JSON from now on, runs included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(OWN).setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "transformers"):
        other = logging.getLogger(name)  # with handlers of their own, which write text
        other.handlers.clear()
        other.propagate = True
    sys.excepthook = _ended
    threading.excepthook = lambda seen: _ended(seen.exc_type, seen.exc_value, seen.exc_traceback)


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] == OWN:
        return record.getMessage()
    if record.args and record.msg != "%s":
        return str(record.msg)
    return f"{record.filename}:{record.lineno}"


def _places(trace: TracebackType | None) -> list[str]:
    """Return file and line of every frame, outermost first."""
    frames = traceback.extract_tb(trace)
    return [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]


def _ended(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    logging.getLogger(__name__).error("a thread ended", exc_info=(kind, error or kind(), trace))
