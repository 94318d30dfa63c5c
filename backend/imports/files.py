"""A file of another engine, or its content, as a request."""

from pathlib import Path

from tokenarium.backend.imports.reader import Reader, Source
from tokenarium.backend.imports.request import AUTO, MOST_CHARACTERS, ImportRequest
from tokenarium.backend.logprobs.reading import is_response
from tokenarium.backend.logprobs.request import LogprobsRequest

_LONGEST_PATH = 1_024


def import_request(
    given: str | Path,
    format: str = "auto",  # noqa: A002 - the field's word
    model: str = "",
) -> ImportRequest | LogprobsRequest:
    """Return the request for a file or for text.

    Args:
        given: a path, or the content: a text of one line that names a file is that file.
        format: slug of a reader, ``logprobs`` for a response with log probabilities, or ``auto``.
        model: its name, where the file does not say.

    Raises:
        ValueError: if the file cannot be read or is too long, or the content is of no use.
    """
    path = given if isinstance(given, Path) else _path(given)
    content = str(given) if path is None else content_of(path)
    name = "" if path is None else path.name[:256]
    if format == LogprobsRequest.kind or (format == AUTO and _only_logprobs(content)):
        return LogprobsRequest(content=content, model=model, name=name)
    return ImportRequest(content=content, format=format, model=model, name=name)


def _only_logprobs(content: str) -> bool:
    """Return whether a response has log probabilities, and no figures of drafting to read first."""
    if not is_response(content):
        return False
    source = Source.of(content)
    return not any(reader().recognises(source) for reader in Reader.registry.all())


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
