"""What reads one format: a family, one file each in ``readers``."""

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from tokenarium.backend.imports.record import ImportedRequest
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

MOST_LINES = 20_000
_SHOWN = 60
_LINE_END = re.compile(r"\r\n|\n|\r")


@dataclass(frozen=True)
class Source:
    """What was given: text, and the JSON values in it where it is JSON."""

    text: str
    values: tuple[Any, ...]
    """The value, or one a line; empty where it is no JSON."""
    why_not: str = ""
    """Why it is no JSON."""

    @classmethod
    def of(cls, text: str) -> "Source":
        """Return a text with what JSON there is in it: one value, one a line, or a stream of them.

        A line of a stream may begin with ``data:``, as servers send it.
        """
        text = text.removeprefix("\ufeff")
        try:
            return cls(text, (orjson.loads(text),))
        except orjson.JSONDecodeError as error:
            first = str(error)
        # Not splitlines: JSON may hold U+2028 and the like, which end lines too, as they are.
        lines = [line.strip().removeprefix("data:").strip() for line in _LINE_END.split(text)]
        lines = [line for line in lines if line and line != "[DONE]"]
        if not lines or not lines[0].startswith(("{", "[")):
            return cls(text, (), "it does not begin with { or [")
        if len(lines) > MOST_LINES:
            return cls(text, (), f"it has {len(lines):,} lines, over {MOST_LINES:,}")
        values = []
        for number, line in enumerate(lines, 1):
            try:
                values.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                why = first if len(lines) == 1 else f"line {number}: {error}"
                return cls(text, (), f"{why}: {line[:_SHOWN]!r}")
        return cls(text, tuple(values))

    @property
    def objects(self) -> tuple[dict[str, Any], ...]:
        """The JSON objects, those of a list each."""
        found: list[Any] = []
        for value in self.values:
            found += value if isinstance(value, list) else [value]
        return tuple(value for value in found if isinstance(value, dict))


class Reader(Method):
    """Base of all formats. Subclassing registers it."""

    registry: ClassVar[Registry[type["Reader"]]] = Registry(
        "format", modules_of("tokenarium.backend.imports.readers")
    )
    engine: ClassVar[str]
    """Who writes it."""
    order: ClassVar[int] = 1
    """Those of a smaller one are asked first whether they know a file."""

    @abstractmethod
    def recognises(self, source: Source) -> bool:
        """Return whether a file is of this format."""

    @abstractmethod
    def read(self, source: Source) -> Sequence[ImportedRequest]:
        """Return the requests of a file.

        Raises: ValueError, naming what is missing or does not fit, and where.
        """


class ResponseReader(Reader):
    """Base of formats whose responses carry the counts of a request as one object."""

    missing: ClassVar[str]
    """Said where no response has it: what is not there, and how to get it."""

    @abstractmethod
    def counted(self, source: Source) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Yield every response with its counts, also where the counts are given alone."""

    @abstractmethod
    def request(self, outer: Mapping[str, Any], metrics: Mapping[str, Any]) -> ImportedRequest:
        """Return the request of a response and its counts."""

    def recognises(self, source: Source) -> bool:
        """Whether a response has counts by this engine's names."""
        return any(True for _ in self.counted(source))

    def read(self, source: Source) -> list[ImportedRequest]:
        """Return one request for each response that has the counts."""
        found = [self.request(outer, metrics) for outer, metrics in self.counted(source)]
        if not found:
            raise ValueError(self.missing)
        return found


def reader_of(source: Source, format: str) -> Reader:  # noqa: A002 - the field's word
    """Return what reads a file.

    Args:
        source: the file.
        format: slug; ``auto`` for the first that knows it.

    Raises:
        ValueError: if none does, naming those there are.
    """
    if format != "auto":
        return Reader.registry.find(format)()
    readers = [reader() for reader in sorted(Reader.registry.all(), key=lambda each: each.order)]
    for reader in readers:
        if reader.recognises(source):
            return reader
    known = "; ".join(f"{reader.slug}: {reader.explanation.rstrip('.')}" for reader in readers)
    json = f" It is no JSON ({source.why_not})." if source.why_not else ""
    raise ValueError(f"content is of no format that is known here.{json} Known are {known}")
