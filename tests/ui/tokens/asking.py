"""What the Tokens page is asked, and how its answer is read."""

import re
from typing import Any

from tokenarium.backend import Lab
from tokenarium.ui.tokens.answer import answer
from tokenarium.ui.why.number import unmarked

TARGET = "bundled/target"


def ask(lab: Lab, do: str, **more: Any) -> dict[str, Any]:
    return answer(lab, {"do": do, "with": [TARGET], **more})


def finished(lab: Lab, do: str, **more: Any) -> dict[str, Any]:
    for _ in range(200):
        found = ask(lab, do, run=True, **more)
        if "busy" not in found:
            return found
    raise AssertionError(found)


def said(found: dict[str, Any]) -> str:
    """Return the finding as it is read."""
    return re.sub("<[^>]+>", "", found["said"])


def bars(found: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return names and numbers of the bars."""
    table = found["html"].partition('class="tk-cuts-bars"')[2].partition("</table>")[0]
    rows = [row for row in table.split("<tr>") if 'scope="row"' in row]
    named = [re.search(r'scope="row">([^<]*)<', row) for row in rows]
    numbers = [re.findall(r"<span>([^<]*)</span>", unmarked(row)) for row in rows]
    return [(name[1], n) for name, n in zip(named, numbers, strict=True) if name]
