"""What can be done with the shown run: copy its link, save it, change the theme."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from tokenarium.ui.text import escape

JS = "window.tokenarium.actions(element, server);"
THEME = (
    '<button type="button" data-do="theme" aria-label="Switch between light and dark">◐</button>'
)
"""A button, as on the pages of runs."""
SAVE = (
    '<button type="button" class="tk-save" data-do="save">Save</button>'
    '<button type="button" data-do="link">Copy link</button>'
)
TOOLS = "window.tokenarium.tools(element, {server});"
EXPLAIN = "window.tokenarium.explain = (number, run) => server.explain_number({run, number});"
KEYS = {
    "token": (("← →", "token, or word or sentence"), ("↑ ↓", "row of pixels"),
              ("Home End", "first, last token, in the strip"), ("j k", "layer"), ("[ ]", "head")),
    "step": (("← →", "decode step"), ("j k", "layer"), ("[ ]", "KV head")),
    "round": (("← →", "round"), ("← ↑ → ↓", "node, in the tree")),
}  # fmt: skip
"""By what the arrows move, what keys do."""


@dataclass(frozen=True)
class Saved:
    """What a section's run can be saved as."""

    title: str
    files: Mapping[str, str]
    """By name, such as ``nodes.csv``, in the words of the menu."""


def actions(
    export: Callable[[object, object, object], Mapping[str, str]],
    explain: Callable[[object, object], Mapping[str, str]],
    saved: Mapping[str, Saved],
    arrows: str,
) -> gr.HTML:
    """Return the buttons.

    Args:
        export: turns a section, a run's id and the name of a file into what the browser saves.
        explain: turns a run's id and where a number came from into what opens at the number.
        saved: by section, what its run can be saved as.
        arrows: what the arrow keys of the page move.
    """

    # The browser's functions take one argument.
    def export_file(asked: dict[str, Any]) -> Mapping[str, str]:
        return export(*(asked.get(name) for name in ("section", "run", "file")))

    def explain_number(asked: dict[str, Any]) -> Mapping[str, str]:
        return explain(asked.get("run"), asked.get("number"))

    keys = "".join(f"<dt>{keys}</dt><dd>{does}</dd>" for keys, does in KEYS[arrows])
    return gr.HTML(
        html_template=f"""<div class="tk-actions" data-saved="{_told(saved)}">
  {SAVE}{THEME}
  <details class="tk-keys"><summary aria-label="Keyboard">?</summary>
  <dl>{keys}<dt>?</dt><dd>these keys</dd></dl></details>
  <span class="tk-done" role="status"></span></div>""",
        js_on_load=JS,
        server_functions=[export_file, explain_number],
        elem_id="actions",
    )


@dataclass(frozen=True)
class Offered:
    """What can be taken from a page that is of no run."""

    figures: bool
    """Whether it has figures to save, of something that its address names."""
    files: Mapping[str, str]
    """By name, in the words of the menu."""
    parts: Mapping[str, tuple[str, Sequence[str]]]
    """By name in ``?embed=``, the title of a part and the ids of its elements."""


def tools(
    offered: Offered,
    export: Callable[[dict[str, Any], gr.Request], Mapping[str, str]],
    explain: Callable[[object, object], Mapping[str, str]] | None,
) -> gr.HTML:
    """Return the buttons of a page that is of no run.

    Args:
        offered: what can be taken from it.
        export: turns ``query`` of an address and the name of a ``file`` into what is saved.
        explain: as of ``actions``; None where no number of the page opens.
    """

    def export_file(asked: dict[str, Any], request: gr.Request) -> Mapping[str, str]:
        return export(asked, request)

    def explain_number(asked: dict[str, Any]) -> Mapping[str, str]:
        assert explain is not None
        return explain(asked.get("run"), asked.get("number"))

    told = escape(json.dumps({"files": dict(offered.files), "parts": dict(offered.parts)}))
    saves = bool(offered.figures or offered.files or offered.parts)
    return gr.HTML(
        html_template=f'<div class="tk-actions" data-offered="{told}">{SAVE * saves}{THEME}'
        '<span class="tk-done" role="status"></span></div>',
        js_on_load=TOOLS + EXPLAIN * (explain is not None),
        server_functions=[export_file] + [explain_number] * (explain is not None),
        elem_id="actions",
    )


def _told(saved: Mapping[str, Saved]) -> str:
    """Return what the menu offers: files of every section once, beside each its own."""
    first, *others = (each.files.items() for each in saved.values())
    shared = [pair for pair in first if all(pair in files for files in others)]
    own = {
        slug: (each.title, dict(pair for pair in each.files.items() if pair not in shared))
        for slug, each in saved.items()
    }
    return escape(json.dumps({"all": dict(shared), "own": own}, ensure_ascii=False))
