"""The texts that heads are measured on: a file with one on every line."""

import json
from pathlib import Path

from tokenarium.backend.errors import UserError

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "head_corpus"
"""Texts and the measurements that come with the application, a folder for each model."""
TEXTS = SHIPPED / "texts.jsonl"


def read_texts(path: Path = TEXTS) -> tuple[str, ...]:
    """Return the texts of a file; empty lines count for nothing.

    Args:
        path: ``.jsonl`` with a JSON string on every line, which may have line breaks in it, or
            else plain text, where a line is a text.

    Raises:
        UserError: if it cannot be read, a line of it is no text, or it has none.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise UserError(f"texts={path} cannot be read as UTF-8: check the file") from error
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        text = _string(line) if path.suffix == ".jsonl" else line
        if not text:
            raise UserError(f"line {number} of {path} is no JSON string: write one text a line")
        found.append(text)
    if not found:
        raise UserError(f"texts={path} has no text: write one a line")
    return tuple(found)


def _string(line: str) -> str:
    try:
        text = json.loads(line)
    except ValueError:
        return ""
    return text if isinstance(text, str) else ""
