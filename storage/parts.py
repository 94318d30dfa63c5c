"""What of a run is too long for its row: facts that are no single values, and arrays, in parts."""

import json
import math
from typing import Any

from sqlalchemy import Connection, select

from tokenarium.storage import packing
from tokenarium.storage.schema import PartRow

LONG_FACTS = ""
"""Name of the parts that hold the facts which are no single values."""


def split_facts(facts: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts that are single values, and those that are not."""
    short = {name: value for name, value in facts.items() if _single(value)}
    return short, {name: value for name, value in facts.items() if name not in short}


def _single(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)


def long_facts(connection: Connection, run_id: str) -> dict[str, Any]:
    """Return the facts of a run that are no single values."""
    data = read_parts(connection, run_id, PartRow.name == LONG_FACTS)
    if not data:
        return {}
    facts: dict[str, Any] = json.loads(packing.decompress(data[LONG_FACTS]))
    return facts


def read_parts(connection: Connection, run_id: str, condition: Any) -> dict[str, bytes]:
    """Return what the parts of a run that meet ``condition`` make together, by name; compressed."""
    query = select(PartRow.name, PartRow.part, PartRow.data)
    rows = connection.execute(query.where(PartRow.run_id == run_id, condition))
    return packing.join((row.name, row.part, row.data) for row in rows)
