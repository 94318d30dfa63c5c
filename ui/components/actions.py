"""What can be done with the shown run: copy its link, download its data, change the theme."""

from collections.abc import Callable

import gradio as gr

from tokenarium.ui.components.scripts import scripts

TEMPLATE = """
<div class="tk-actions">
  <button type="button" data-do="link">Copy link</button>
  <button type="button" data-do="json">Download JSON</button>
  <button type="button" data-do="theme" aria-label="Switch between light and dark">◐</button>
  <details class="tk-keys"><summary aria-label="Keyboard">?</summary>
    <dl><dt>← →</dt><dd>token, or word or sentence</dd><dt>↑ ↓</dt><dd>row of pixels</dd>
    <dt>Home End</dt><dd>first, last token</dd><dt>j k</dt>
    <dd>layer</dd><dt>[ ]</dt><dd>head</dd><dt>?</dt><dd>these keys</dd></dl></details>
  <span class="tk-done" role="status"></span>
</div>
"""
JS = "window.tokenarium.actions(element, server);"


def actions(export: Callable[[str], str]) -> gr.HTML:
    """Return the buttons; ``export`` turns a run id into the text of a JSON file."""

    def export_run(run_id: str) -> str:
        return export(run_id)

    return gr.HTML(
        html_template=TEMPLATE,
        js_on_load=JS,
        head=scripts(),
        server_functions=[export_run],
        elem_id="actions",
    )
