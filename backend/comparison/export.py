"""A comparison as files: its numbers as JSON, a notebook that makes it again, its tables."""

import io
import zipfile
from dataclasses import asdict
from typing import TYPE_CHECKING

import orjson

from tokenarium.backend.runs.export import TableFormat, table_file
from tokenarium.backend.runs.notebook import asking, code, lab_lines, packed, words

if TYPE_CHECKING:
    from tokenarium.backend.comparison.result import RunComparison

FORMAT = "tokenarium-comparison-1"


def as_json(comparison: "RunComparison") -> str:
    """Return every measure with its definition, by lane and place; NaN becomes null."""
    lanes = [
        {
            "name": lane.name,
            "run": lane.run_id,
            "model": lane.model,
            "reference": comparison.lanes[lane.reference].name,
            "tokens": lane.texts,
            "places": lane.places,
            "facts": dict(lane.facts),
        }
        for lane in comparison.lanes
    ]
    measures = {
        name: {
            "title": found.title,
            "unit": found.unit,
            "meaning": found.meaning,
            "values": found.values,
            "difference": comparison.difference(name),
        }
        for name, found in comparison.measures.items()
    }
    content = {
        "format": FORMAT,
        "kind": comparison.kind,
        "runs": [
            {
                "id": run.id,
                "created": run.created.isoformat(),
                "request": run.request.model_dump(mode="json"),
                "environment": run.environment,
            }
            for run in comparison.runs
        ],
        "axis": comparison.axis,
        "places": comparison.places,
        "lanes": lanes,
        "alignments": [None if each is None else asdict(each) for each in comparison.alignments],
        "measures": measures,
        "heads": dict(comparison.heads),
        "notes": comparison.notes,
    }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def as_tables(comparison: "RunComparison", format: TableFormat) -> bytes:  # noqa: A002
    """Return its tables as a ZIP of files.

    Raises:
        UserError: if the format is neither ``csv`` nor ``parquet``.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name in comparison.tables:
            file.writestr(f"{name}.{format}", table_file(comparison.table(name), format))
    return content.getvalue()


def as_notebook(comparison: "RunComparison") -> str:
    """Return a notebook (nbformat 4.5, JSON) that computes every run again and compares them."""
    first, found = comparison.measure(), comparison.largest()
    ids = ", ".join(f"`{run.id}`" for run in comparison.runs)
    cells = [
        words(
            f"# {len(comparison.runs)} runs beside each other\n\nRuns {ids}. It needs the package "
            "`tokenarium` and, for models that are not shipped, these models."
        ),
        code(f"{lab_lines([run.request for run in comparison.runs])}\nruns = []"),
    ]
    cells += [
        *(
            code(f"{asking(run)}\nruns.append(lab.run(request))\nruns[-1]")
            for run in comparison.runs
        ),
        code("comparison = lab.compare([run.id for run in runs])\ncomparison"),
        words(f"Where the runs differ most in {first.title}: lane, place, both numbers."),
        code(f'print("stored", {str(found)!r})\nprint("here  ", comparison.largest())'),
        *(code(f"comparison.figure({name!r})") for name in comparison.figures),
    ]
    return packed(cells)
