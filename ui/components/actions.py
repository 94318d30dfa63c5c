"""What can be done with the shown run: copy its link, download its data, change the theme."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from tokenarium.ui.text import escape

JS = "window.tokenarium.actions(element, server);"
KEYS = {
    "token": (("← →", "token, or word or sentence"), ("↑ ↓", "row of pixels"),
              ("Home End", "first, last token, in the strip"), ("j k", "layer"), ("[ ]", "head")),
    "step": (("← →", "decode step"), ("j k", "layer"), ("[ ]", "KV head")),
    "round": (("← →", "round"), ("← ↑ → ↓", "node, in the tree")),
}  # fmt: skip
"""By what the arrows move, what keys do."""


def actions(
    export: Callable[[str, str, str], str], files: Mapping[str, str], arrows: str
) -> gr.HTML:
    """Return the buttons.

    Args:
        export: turns a section, a run's id and a kind of file into the text of the file.
        files: by section and kind, such as ``run/nodes.csv``, what the button says.
        arrows: what the arrow keys of the page move.
    """

    # The browser's functions take one argument.
    def export_file(asked: dict[str, Any]) -> str:
        return export(*(str(asked.get(name)) for name in ("section", "run", "file")))

    buttons = "".join(
        f'<button type="button" data-file="{escape(kind)}">{escape(said)}</button>'
        for kind, said in files.items()
    )
    keys = "".join(f"<dt>{keys}</dt><dd>{does}</dd>" for keys, does in KEYS[arrows])
    return gr.HTML(
        html_template=f"""<div class="tk-actions">
  <button type="button" data-do="link">Copy link</button>{buttons}
  <button type="button" data-do="theme" aria-label="Switch between light and dark">◐</button>
  <details class="tk-keys"><summary aria-label="Keyboard">?</summary>
  <dl>{keys}<dt>?</dt><dd>these keys</dd></dl></details>
  <span class="tk-done" role="status"></span></div>""",
        js_on_load=JS,
        server_functions=[export_file],
        elem_id="actions",
    )
