"""What the store holds, and what goes first when it is full, as a sentence and a small table."""

from tokenarium.backend import OldestRun, Settings, StoreContents
from tokenarium.ui.library.rows import measured, short, size, titles
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import number, source


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
    runs = number(many(held.runs, "run"), source("runs"))
    first = f"{runs}, {measured(size(held.array_bytes), 'held')} of arrays"
    if settings.hosted:
        goes = f"your runs are deleted after {settings.hosted_keep_hours:g} h"
        if held.next_deleted:
            goes += f", {_named(held.next_deleted)} first"
        return f"Examples and your own runs: {first}; {goes}."
    limit = settings.database_limit_mb * 2**20
    part = number(f"{held.array_bytes / limit:.1%}", source("share"))
    share = f"{part} of the {size(limit)} that may be kept"
    file = ""
    if held.file_bytes is not None:
        file = f", in a file of {measured(size(held.file_bytes), 'file')}"
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


def _gone(dropped: int, place: int) -> str:
    return number(str(dropped), source("kind_dropped", place)) if dropped else "none"


def _table(held: StoreContents) -> str:
    most = held.array_bytes or 1
    rows = "".join(
        f'<tr><th scope="row">{escape(titles().get(each.kind, each.kind))}</th>'
        f"<td>{number(f'{each.runs:,}', source('kind_runs', place))}</td>"
        f"<td>{measured(size(each.array_bytes), 'kind', place)}</td>"
        f"<td>{_gone(each.dropped, place)}</td>"
        f'<td class="tk-lib-share"><i><b style="width:{each.array_bytes / most:.1%}">'
        "</b></i></td></tr>"
        for place, each in enumerate(held.kinds)
    )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Kind", "Runs", "Arrays", "Arrays dropped", "Share of the bytes")
    )
    return (
        '<table class="tk-lib-kinds"><caption class="tk-unseen">What is stored, by kind</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
