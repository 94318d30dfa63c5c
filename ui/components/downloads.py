"""What can be done with a shown run: copy its link, download it whole or table by table."""

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from numpy.typing import NDArray

from tokenarium.ui.components.scripts import scripts
from tokenarium.ui.text import escape

JS = "window.tokenarium.downloads(element, props, server);"


def csv_text(rows: NDArray[Any]) -> str:
    """Return a structured array as CSV with a line of names."""
    found = io.StringIO()
    writer = csv.writer(found)
    writer.writerow(rows.dtype.names or ())
    writer.writerows(rows.tolist())
    return found.getvalue()


def downloads(
    name: str, run: str | None, export: Callable[[str, str], str], files: Mapping[str, str]
) -> gr.HTML:
    """Return the buttons; the component's value is the id of the run.

    Args:
        name: of the page.
        run: id of the run that is shown first.
        export: turns a run id and a kind of file into its text.
        files: by kind, such as ``nodes.csv``, what the button says.
    """

    # The browser's functions take one argument.
    def export_file(asked: dict[str, Any]) -> str:
        return export(str(asked["run"]), str(asked["file"]))

    buttons = "".join(
        f'<button type="button" data-file="{escape(kind)}">{escape(said)}</button>'
        for kind, said in files.items()
    )
    return gr.HTML(
        run,
        html_template=f'<div class="tk-actions"><button type="button" data-file="">Copy link'
        f'</button>{buttons}<span class="tk-done" role="status"></span></div>',
        js_on_load=JS,
        head=scripts(),
        server_functions=[export_file],
        elem_id=f"downloads-{name}",
    )
