"""What the store holds, and what goes first when it is full, as a sentence and a small table."""

from tokenarium.backend import OldestRun, Settings, StoreContents
from tokenarium.ui.library.rows import short, size, titles
from tokenarium.ui.text import escape, many


def holdings_html(held: StoreContents, settings: Settings) -> str:
    """Return what there is as HTML, closed: the sentence is seen, the table opened.

    Args:
        held: what ``Lab.contents`` returned.
        settings: whose limit, or whose hours, say what is dropped.
    """
    return (
        f'<details class="tk-lib-held"><summary>{_sentence(held, settings)}</summary>'
        f"{_table(held)}</details>"
    )


def _sentence(held: StoreContents, settings: Settings) -> str:
    first = f"{many(held.runs, 'run')}, {size(held.array_bytes)} of arrays"
    if settings.hosted:
        goes = f"your runs are deleted after {settings.hosted_keep_hours:g} h"
        if held.next_deleted:
            goes += f", {_named(held.next_deleted)} first"
        return f"Examples and your own runs: {first}; {goes}."
    limit = settings.database_limit_mb * 2**20
    share = f"{held.array_bytes / limit:.1%} of the {size(limit)} that may be kept"
    file = f", in a file of {size(held.file_bytes)}" if held.file_bytes is not None else ""
    if held.next_dropped is None:
        goes = "every run is pinned or has no arrays, so that none would be dropped"
    else:
        goes = (
            "when that is full the arrays of the oldest run that is not pinned go first, now "
            f"those of {_named(held.next_dropped)}; the run and its single numbers stay"
        )
    return f"{first} ({share}){file}; {goes}."


def _named(run: OldestRun) -> str:
    what = f"“{escape(short(run.text, 40))}”" if run.text.strip() else titles().get(run.kind, "run")
    return f"{what} of {run.created:%Y-%m-%d %H:%M}"


def _table(held: StoreContents) -> str:
    most = held.array_bytes or 1
    rows = "".join(
        f'<tr><th scope="row">{escape(titles().get(each.kind, each.kind))}</th>'
        f"<td>{each.runs:,}</td><td>{size(each.array_bytes)}</td><td>{each.dropped or 'none'}</td>"
        f'<td class="tk-lib-share"><i><b style="width:{each.array_bytes / most:.1%}">'
        "</b></i></td></tr>"
        for each in held.kinds
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Kind", "Runs", "Arrays", "Arrays dropped", "Share of the bytes")
    )
    return (
        '<table class="tk-lib-kinds"><caption class="tk-unseen">What is stored, by kind</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
