"""What of a shown run can be saved as a file: declared here once, made when it is chosen."""

import base64
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from tokenarium.backend import (
    Lab,
    Run,
    UserError,
    Visitor,
    as_json,
    as_tables,
    comparable,
    compare_runs,
    refuse_ids,
)
from tokenarium.ui.shell.page import Page
from tokenarium.ui.shell.section import File, Section

NOBODY = Visitor("")
TYPES = {
    "json": "application/json",
    "ipynb": "application/x-ipynb+json",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
    "html": "text/html",
    "zip": "application/zip",
}
"""By a name's ending."""
WHOLE = {
    "run.json": "Numbers and their definitions (JSON)",
    "everything.json": "All numbers, large maps too (JSON)",
    "run.ipynb": "Notebook that computes it again",
    "tables.csv": "All tables (CSV, zipped)",
    "tables.parquet": "All tables (Parquet)",
    "run.html": "Web page (offline)",
}
"""By name, what every run can be saved as, in the words of the menu."""
COMPARED = {
    "run.json": "Numbers and their definitions (JSON)",
    "run.ipynb": "Notebook that computes them again",
    "tables.csv": "All tables (CSV, zipped)",
    "tables.parquet": "All tables (Parquet)",
    "run.html": "Web page (offline)",
}
"""The same of runs beside each other."""


def offered(section: Section) -> dict[str, str]:
    """Return what a section's run can be saved as, by name, in the words of the menu."""
    return {**{name: file.title for name, file in section.files.items()}, **WHOLE}


def saved(lab: Lab, files: Mapping[str, File], ids: Sequence[str], name: str) -> dict[str, str]:
    """Return a file of stored runs as the browser takes it.

    Args:
        lab: that has the runs.
        files: tables of the section's own.
        ids: of one run, or of several, such as those of a race: page, notebook, numbers and tables
            are of all beside each other where runs of their kind can be compared; other files
            come in one ZIP.
        name: one of ``offered``.

    Returns:
        ``name`` and ``type`` of the file with its ``text``, or in ``base64`` if it is none.

    Raises:
        UserError: if there is no such run or file.
    """
    if len(ids) > 1 and name in COMPARED and comparable(lab.open(ids[0])):
        return compared(lab, ids, name)
    made = [_made(lab, files, each, name) for each in ids]
    if len(made) == 1:
        return sent(*made[0])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for title, content in made:
            file.writestr(title, content)
    return sent(f"{made[0][0].rpartition('.')[0]}-and-others.zip", packed.getvalue())


def compared(lab: Lab, ids: Sequence[str], name: str) -> dict[str, str]:
    """Return a file of runs beside each other as the browser takes it.

    Args:
        lab: that has the runs; anybody opens them by their ids, as by a link.
        ids: of 2 to 6 runs.
        name: one of ``COMPARED``.

    Raises:
        UserError: if there is no such file or run, or the runs cannot be compared.
    """
    if name not in COMPARED:
        there = ", ".join(COMPARED)
        raise UserError(f"file={name[:60]!r} is none of a comparison: choose {there}")
    refuse_ids(ids)
    found = compare_runs([lab.open(each) for each in ids])
    what, _, ending = name.partition(".")
    stem, content = f"tokenarium-{found.runs[0].id}-and-others", found.file(ending)
    if what == "tables":
        return sent(f"{stem}-{ending}.zip", content)
    return sent(f"{stem}.{ending}", content.decode())


def saved_of(page: Page, query: object, name: object, visitor: Visitor = NOBODY) -> dict[str, str]:
    """Return a file of what a page shows at an address, or in ``error`` why there is none."""
    asked = dict(parse_qsl(str(query or "").removeprefix("?")))
    try:
        if str(name) not in page.files:
            there = ", ".join(page.files) or "none"
            raise UserError(f"file={str(name)[:60]!r} is none of this page: choose {there}")
        return page.saved(asked, str(name), visitor)
    except UserError as error:
        return {"error": str(error)}


def saved_run(run: Run, name: str) -> dict[str, str]:
    """Return a file of a run, which need not be stored, as the browser takes it.

    Raises:
        UserError: if there is no such file.
    """
    return sent(*_whole(run, name))


def _made(lab: Lab, files: Mapping[str, File], run_id: str, name: str) -> tuple[str, str | bytes]:
    """Return the name of a file and what is in it."""
    run = lab.open(run_id)
    if name in files:
        return f"tokenarium-{run_id}-{name}", files[name].text(run)
    if name not in WHOLE:
        there = ", ".join((*files, *WHOLE))
        raise UserError(f"file={name[:60]!r} is none of this run: choose {there}")
    return _whole(run, name)


def _whole(run: Run, name: str) -> tuple[str, str | bytes]:
    stem, (what, _, ending) = f"tokenarium-{run.id}", name.partition(".")
    if what == "tables":
        return _tables(run, stem, ending)
    if ending == "ipynb":
        return f"{stem}.ipynb", run.notebook()
    if ending == "html":
        return f"{stem}.html", run.html()
    everything = name == "everything.json"
    return f"{stem}{'-everything' * everything}.json", as_json(run, everything=everything)


def _tables(run: Run, stem: str, ending: Any) -> tuple[str, bytes]:
    """Return the tables of a run in one ZIP; a single one as it is."""
    if len(run.tables) == 1:
        [name] = run.tables
        return f"{stem}-{name}.{ending}", as_tables(run, ending, name)
    return f"{stem}-{ending}.zip", as_tables(run, ending)


def sent(name: str, content: str | bytes) -> dict[str, str]:
    """Return a file as the browser takes it."""
    told = {"name": name, "type": TYPES[name.rpartition(".")[2]]}
    if isinstance(content, str):
        return {**told, "text": content}
    return {**told, "base64": base64.b64encode(content).decode()}
