"""What of a shown run can be saved as a file: declared here once, made when it is chosen."""

import base64
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from tokenarium.backend import Lab, UserError
from tokenarium.ui.shell.section import File, Section

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


def offered(section: Section) -> dict[str, str]:
    """Return what a section's run can be saved as, by name, in the words of the menu."""
    return {**{name: file.title for name, file in section.files.items()}, **WHOLE}


def saved(lab: Lab, files: Mapping[str, File], ids: Sequence[str], name: str) -> dict[str, str]:
    """Return a file of stored runs as the browser takes it.

    Args:
        lab: that has the runs.
        files: tables of the section's own.
        ids: of one run, or of several, such as those of a race, whose files come in one ZIP.
        name: one of ``offered``.

    Returns:
        ``name`` and ``type`` of the file with its ``text``, or in ``base64`` if it is none.

    Raises:
        UserError: if there is no such run or file.
    """
    made = [_made(lab, files, each, name) for each in ids]
    if len(made) == 1:
        return _sent(*made[0])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for title, content in made:
            file.writestr(title, content)
    return _sent(f"{made[0][0].rpartition('.')[0]}-and-others.zip", packed.getvalue())


def _made(lab: Lab, files: Mapping[str, File], run_id: str, name: str) -> tuple[str, str | bytes]:
    """Return the name of a file and what is in it."""
    stem, (what, _, ending) = f"tokenarium-{run_id}", name.partition(".")
    if name in files:
        return f"{stem}-{name}", files[name].text(lab.open(run_id))
    if name not in WHOLE:
        there = ", ".join((*files, *WHOLE))
        raise UserError(f"file={name[:60]!r} is none of this run: choose {there}")
    if what == "tables":
        return _tables(lab, stem, run_id, ending)
    if ending == "ipynb":
        return f"{stem}.ipynb", lab.export(run_id, "ipynb")
    if ending == "html":
        return f"{stem}.html", lab.open(run_id).html()
    everything = name == "everything.json"
    title = f"{stem}{'-everything' * everything}.json"
    return title, lab.export(run_id, everything=everything)


def _tables(lab: Lab, stem: str, run_id: str, ending: Any) -> tuple[str, bytes]:
    """Return the tables of a run in one ZIP; a single one as it is."""
    tables = lab.open(run_id).tables
    if len(tables) == 1:
        return f"{stem}-{tables[0]}.{ending}", lab.export(run_id, ending, tables[0])
    return f"{stem}-{ending}.zip", lab.export(run_id, ending)


def _sent(name: str, content: str | bytes) -> dict[str, str]:
    told = {"name": name, "type": TYPES[name.rpartition(".")[2]]}
    if isinstance(content, str):
        return {**told, "text": content}
    return {**told, "base64": base64.b64encode(content).decode()}
