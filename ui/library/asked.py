"""What the browser asks of the Library, every value checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs

FILTERS = ("text", "kind", "model", "method", "tag", "since", "until", "pinned")
"""Controls of the page, and names in its address."""
LONGEST = 300
AT_ONCE = 25
"""Runs on one page of the list."""


@dataclass(frozen=True)
class Asked:
    """Which runs are to be listed, and what is to be done to one of them first."""

    filters: Mapping[str, str] = field(default_factory=dict)
    page: int = 0
    do: str = ""
    run_id: str = ""
    said: str = ""
    """A tag, or a note."""
    reply: int = 0
    """Number of the question, so that the browser knows the answer to its newest one."""
    framed: bool = False
    """Whether it comes from a frame of another site, where nothing is changed."""

    @classmethod
    def read(cls, value: object) -> Self:
        """Keep what has the right type; drop the rest: a browser may send anything."""
        told = value if isinstance(value, dict) else {}
        filters: Any = told.get("filters")
        if isinstance(told.get("query"), str):  # the page has just been opened
            found = parse_qs(told["query"].removeprefix("?")[:4_000])
            filters = {name: values[-1] for name, values in found.items()}
        given = filters if isinstance(filters, dict) else {}
        return cls(
            {name: _text(given.get(name))[:LONGEST] for name in FILTERS if _text(given.get(name))},
            _whole(told.get("page")),
            _text(told.get("do")),
            _text(told.get("run")),
            _text(told.get("said")),
            _whole(told.get("reply")),
            told.get("framed") is True,
        )

    @property
    def wanted(self) -> dict[str, Any]:
        """The filters as ``Lab.search`` takes them."""
        found: dict[str, Any] = {n: v for n, v in self.filters.items() if n != "pinned"}
        return found | ({"pinned": True} if "pinned" in self.filters else {})


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**6 else 0
