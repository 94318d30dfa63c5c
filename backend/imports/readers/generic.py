"""JSON lines of our own schema, which any program can write."""

from typing import Any, ClassVar

from pydantic import ValidationError

from tokenarium.backend.errors import in_words
from tokenarium.backend.imports.reader import Reader, Source
from tokenarium.backend.imports.record import ImportedRequest, ReportedRound
from tokenarium.backend.imports.schema import RecordedLine

_MARKS = ("token_ids", "tokens", "rounds", "text")


class Generic(Reader):
    """One object a line, of the fields of ``RecordedLine``."""

    slug: ClassVar[str] = "generic"
    title: ClassVar[str] = "JSON lines"
    engine: ClassVar[str] = ""
    order: ClassVar[int] = 9
    explanation: ClassVar[str] = (
        "one JSON object a line with rounds, each with drafted and accepted, or with token_ids, "
        "tokens or text, and logprobs."
    )

    def recognises(self, source: Source) -> bool:
        """Whether every object has one of the fields that a line must have."""
        found = source.objects
        return bool(found) and all(any(mark in line for mark in _MARKS) for line in found)

    def read(self, source: Source) -> list[ImportedRequest]:
        """Return one request for each line."""
        return [_request(line) for line in recorded_lines(source)]


def recorded_lines(source: Source) -> list[RecordedLine]:
    """Return the lines of a file.

    Raises: ValueError naming line and field of what does not fit.
    """
    if not source.objects:
        raise ValueError(f"content has no JSON object a line: {source.why_not or 'it has others'}")
    found: list[Any] = []
    for value in source.values:
        found += value if isinstance(value, list) else [value]
    return [_line(number, value) for number, value in enumerate(found, 1)]


def _line(number: int, value: Any) -> RecordedLine:
    if not isinstance(value, dict):
        raise ValueError(f"line {number}: {value!r:.40} is no JSON object: remove it")
    try:
        return RecordedLine.model_validate(value)
    except ValidationError as error:
        raise ValueError(f"line {number}: {in_words(error)}") from error


def _request(line: RecordedLine) -> ImportedRequest:
    prompt = line.prompt or "\n".join(message.content for message in line.messages)
    tokens = len(line.token_ids or line.tokens)
    return ImportedRequest(
        name=line.id,
        model=line.model,
        rounds=tuple(ReportedRound(each.drafted, each.accepted) for each in line.rounds),
        completion_tokens=tokens or None,
        token_ids=line.token_ids,
        tokens=line.tokens,
        logprobs=line.logprobs,
        prompt=prompt,
        text=line.text or "".join(line.tokens),
    )
