"""A file of another engine, or its content, as a request."""

from pathlib import Path

from tokenarium.backend.imports.request import MOST_CHARACTERS, ImportRequest

_LONGEST_PATH = 1_024


def import_request(given: str | Path, format: str = "auto", model: str = "") -> ImportRequest:  # noqa: A002
    """Return the request for a file or for text.

    Args:
        given: a path, or the content: a text of one line that names a file is that file.
        format: slug of a reader, or ``auto``.
        model: its name, where the file does not say.

    Raises:
        ValueError: if the file cannot be read or is too long, or the content is of no use.
    """
    path = given if isinstance(given, Path) else _path(given)
    if path is None:
        return ImportRequest(content=str(given), format=format, model=model)
    return ImportRequest(content=content_of(path), format=format, model=model, name=path.name[:256])


def content_of(path: Path) -> str:
    """Return the text of a file.

    Raises:
        ValueError: if it cannot be read, is too long, or is no text in UTF-8.
    """
    try:
        size = path.stat().st_size
        if size > 4 * MOST_CHARACTERS:
            raise ValueError(
                f"{path} has {size:,} bytes, over {4 * MOST_CHARACTERS:,}: give fewer requests"
            )
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): give another") from error


def _path(text: str) -> Path | None:
    """Return the file that a text names; None where it names none."""
    line = text.strip()
    if "\n" in line or not 0 < len(line) <= _LONGEST_PATH or line[0] in "{[":
        return None
    try:
        path = Path(line)
        return path if path.is_file() else None
    except (OSError, ValueError):
        return None
