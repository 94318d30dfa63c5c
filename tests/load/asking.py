"""A visitor's requests over HTTP, and what became of each."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson


@dataclass
class Asked:
    """One request as a visitor saw it."""

    kind: str
    """``open`` for a stored run at its address, ``endpoint`` for one through Gradio's queue,
    ``trace`` for a small one, ``sweep``."""
    visitor: str
    text: str
    began: float
    ended: float = 0.0
    run: dict[str, Any] | None = None
    """The answer; once it has ended, ``lean``: thousands of answers are kept."""
    refused: str = ""
    """Why it was not answered, where the program said so."""
    broken: str = ""
    """How the connection ended, where it did."""
    places: list[int] = field(default_factory=list)
    """Places in the queue as they were said."""
    tried_again: bool = False
    """Whether a worker ended and that was said."""
    not_stored: str = ""
    """What the answer said of its not being stored, where it did."""

    @property
    def seconds(self) -> float:
        """Time until the answer."""
        return self.ended - self.began


def digest(values: Any) -> str:
    """Return a name of a run's values, the same before and after they travelled as JSON."""
    plain = orjson.loads(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY))
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


def lean(run: dict[str, Any]) -> dict[str, Any]:
    """Return of a run its id, its request, and the digest of its values in their place."""
    return {"id": run["id"], "request": run["request"], "values": digest(run["values"])}


_READ: dict[bytes, dict[str, Any]] = {}
"""What bodies said, by their hashes: one that came before is not read again."""


async def read(http: httpx.AsyncClient, headers: dict[str, str], asked: Asked) -> Asked:
    """Open a stored run, ``asked.text``, at its address; writes into ``asked``."""
    try:
        answer = await http.get(f"/runs/{asked.text}.json", headers=headers)
        if answer.status_code == 200:
            body = hashlib.sha256(answer.content).digest()
            if body not in _READ:
                _READ[body] = lean(orjson.loads(answer.content))
            asked.run = _READ[body]
        else:
            asked.refused = f"{answer.status_code}: {answer.text[:200]}"
    except (httpx.HTTPError, OSError, ValueError) as error:
        asked.broken = type(error).__name__
    finally:
        asked.ended = time.monotonic()
    return asked


async def ask(
    http: httpx.AsyncClient,
    name: str,
    values: dict[str, Any],
    headers: dict[str, str],
    asked: Asked,
) -> Asked:
    """Call an endpoint and follow it to its end; writes into ``asked``."""
    try:
        begun = await http.post(f"/gradio_api/call/v2/{name}", json=values, headers=headers)
        if begun.status_code != 200:
            asked.refused = f"{begun.status_code}: {begun.text[:200]}"
            return asked
        place = f"/gradio_api/call/{name}/{begun.json()['event_id']}"
        event = ""
        async with http.stream("GET", place, headers=headers) as lines:
            async for line in lines.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    _take(asked, event, orjson.loads(line.removeprefix("data: ")))
    except (httpx.HTTPError, OSError, ValueError) as error:
        asked.broken = type(error).__name__
    finally:
        asked.ended = time.monotonic()
    if asked.run is not None:
        said = asked.run["environment"].get("storage", "")
        asked.not_stored = said if said.startswith("not stored") else ""
        asked.run = lean(asked.run)
    elif not asked.refused and not asked.broken:
        asked.broken = "ended without an answer"
    return asked


def _take(asked: Asked, event: str, said: Any) -> None:
    said = said[0] if isinstance(said, list) and said else said
    if event == "error":
        asked.refused = asked.refused or json.dumps(said)[:300]
    if not isinstance(said, dict):
        return
    if said.get("event") == "queued":
        asked.places.append(said["place"])
    elif said.get("event") == "progress":
        asked.tried_again |= "second try" in said["doing"]
    elif said.get("event") == "finished":
        asked.run = said["run"]
    elif "definitions" in said or "values" in said:  # a stored run is no event
        asked.run = said
