"""What the Library answers: the runs that were asked for, after a change to one of them."""

from collections.abc import Callable
from typing import Any

from tokenarium.backend import Lab, UserError, Visitor
from tokenarium.ui.library.asked import AT_ONCE, Asked
from tokenarium.ui.library.rows import Row, rows_html, titles
from tokenarium.ui.text import many
from tokenarium.ui.why.answer import kept
from tokenarium.ui.why.library import of_list
from tokenarium.ui.why.number import number, of_run, source

NONE_YET = "No run is stored yet: press Run on Explore, Cache or Speculate, and find it here."
NONE_SUCH = "No stored run fulfils all of this: take a filter away, or press Clear."


def listed(
    lab: Lab, asked: Asked, visitor: Visitor, *, arrived: bool = False, changed: bool = False
) -> dict[str, Any]:
    """Return one page of the list, how many runs there are, and what they can be filtered by.

    Args:
        lab: whose runs.
        asked: by the browser.
        visitor: who asks.
        arrived: whether the filters come from the address.
        changed: whether there may be other filters to choose than before.
    """
    answer: dict[str, Any] = {"shown": True, "reply": asked.reply}
    try:
        found = lab.count(visitor=visitor, **asked.wanted)
        page = max(0, min(asked.page, (found - 1) // AT_ONCE))
        offset = page * AT_ONCE
        runs = lab.search(visitor=visitor, limit=AT_ONCE, offset=offset, **asked.wanted)
        of = kept(lab).put(of_list(runs, found, asked.wanted, AT_ONCE, offset), visitor)
        hosted = lab.settings.hosted
        rows = [
            Row(
                run,
                lab.is_example(run.id),
                own=not asked.framed and (not hosted or run.owner == str(visitor)),
                pins=not hosted,
                plain=asked.framed,
            )
            for run in runs
        ]
        answer |= {
            "rows": rows_html(rows, NONE_SUCH if asked.filters else NONE_YET, of),
            "page": page,
            "more": (page + 1) * AT_ONCE < found,
            "count": of_run(_counted(page, len(runs), found), of),
        }
        if arrived or changed:
            answer["choices"] = _choices(lab, visitor)
        if arrived:
            answer["filters"] = dict(asked.filters)
    except UserError as error:
        answer["refused"] = str(error)
    return answer


def changed(lab: Lab, asked: Asked, visitor: Visitor) -> dict[str, Any]:
    """Change a run as asked and return the list as it is then."""
    done = {"act": True, "run": asked.run_id}
    try:
        said = _change(lab, asked, visitor)
    except UserError as error:
        return listed(lab, asked, visitor) | done | {"refused": str(error)}
    return listed(lab, asked, visitor, changed=True) | done | {"said": said}


def _change(lab: Lab, asked: Asked, visitor: Visitor) -> str:
    run_id, said = asked.run_id, asked.said
    if asked.framed:
        raise UserError("an embed only lists runs: open the whole page to change one")

    def pinned(how: bool) -> str:
        lab.pin(run_id, how)
        return "Pinned: its arrays stay when space runs out." if how else "No longer pinned."

    def deleted() -> str:
        lab.delete(run_id, visitor=visitor)
        return "Deleted."

    def noted() -> str:
        return "Note saved." if lab.note(run_id, said, visitor=visitor) else "Note removed."

    changes: dict[str, Callable[[], str]] = {
        "pin": lambda: pinned(True),
        "unpin": lambda: pinned(False),
        "tag": lambda: f"Tags: {', '.join(lab.tag(run_id, said, visitor=visitor))}.",
        "untag": lambda: f"Tags: {', '.join(lab.untag(run_id, said, visitor=visitor)) or 'none'}.",
        "note": lambda: (
            "Note saved." if lab.note(run_id, said, visitor=visitor) else "Note removed."
        ),
        "delete": deleted,
    }
    if asked.do not in changes:
        raise UserError(f"do={asked.do!r:.40} is unknown: choose {', '.join(changes)}")
    return changes[asked.do]()


def _choices(lab: Lab, visitor: Visitor) -> dict[str, list[tuple[str, str]]]:
    found = lab.choices(visitor=visitor)
    named = {"kind": found.kinds, "model": found.models, "method": found.methods, "tag": found.tags}
    return {
        name: [(value, f"{_title(name, value)} ({count:,})") for value, count in counts.items()]
        for name, counts in named.items()
    }


def _title(name: str, value: str) -> str:
    return titles().get(value, value) if name == "kind" else value


def _counted(page: int, shown: int, found: int) -> str:
    every = number(many(found, "run"), source("found"))
    if found <= shown:
        return every if found else ""
    first = page * AT_ONCE + 1
    return f"{first:,} to {first + shown - 1:,} of {every}"
