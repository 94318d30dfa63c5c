"""The parts of the Library page that the browser draws: filters over a list, and the SQL box."""

from pathlib import Path
from urllib.parse import quote

import gradio as gr
import orjson

from tokenarium.ui.library.examples import QUESTIONS
from tokenarium.ui.text import escape

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "library"
_LIST_JS = """
window.tokenarium.library(element, props, watch, event => trigger(event));
// 'ask' 'act'
"""
_SQL_JS = """
window.tokenarium.query(element, props, watch, event => trigger(event));
// 'answer' 'draw' 'file'
"""
_CHOICES = {"kind": "Kind", "model": "Model", "method": "Method", "tag": "Tag"}


def run_list(*, pins: bool, compare: bool) -> gr.HTML:
    """Return the list with its filters.

    Args:
        pins: whether runs can be pinned here.
        compare: whether there is a page that compares runs.
    """
    lists = "".join(
        f'<label>{title}<select name="{name}"><option value="">any</option></select></label>'
        for name, title in _CHOICES.items()
    )
    pinned = '<label class="tk-lib-check"><input type="checkbox" name="pinned" value="1">Pinned'
    style = (FOLDER / "library.css").read_text("utf-8")
    return gr.HTML(
        html_template=f"""<style>{style}</style>
<form class="tk-lib-filters tk-part" role="search">
  <label class="tk-lib-text">Text or note<input type="search" name="text" maxlength="300"></label>
  {lists}
  <label>From<input type="date" name="since"></label>
  <label>Until<input type="date" name="until"></label>
  {pinned + "</label>" if pins else ""}
  <button type="reset">Clear</button>
</form>
<div class="tk-part" id="library-runs">
<div class="tk-lib-bar"><span class="tk-lib-count" role="status"></span>
  <a class="tk-lib-compare" data-page="{"compare" if compare else ""}" hidden></a>
  <span class="tk-lib-turn"><button type="button" data-do="before">Previous</button>
  <button type="button" data-do="next">Next</button></span></div>
<p class="tk-status tk-lib-said" role="status" hidden></p>
<div class="tk-lib-found"></div></div>""",
        js_on_load=_LIST_JS,
        elem_id="library",
        elem_classes="tk-block",
    )


def query_box(over: str, tables: str) -> gr.HTML:
    """Return the SQL box: the query, examples, its answer as a table, and what of it is drawn.

    Args:
        over: whose runs a query reads, in words.
        tables: what it may name, in words.
    """
    examples = "".join(
        f'<option value="{number}">{escape(question.title)}</option>'
        for number, question in enumerate(QUESTIONS)
    )
    # Quoted: Gradio's template engine reads a backslash, as before an n, as its own.
    asked = orjson.dumps(
        [
            {
                "sql": question.sql,
                "chosen": {name: getattr(question, name) for name in ("chart", "x", "y", "colour")},
            }
            for question in QUESTIONS
        ]
    ).decode()
    choices = "".join(
        f'<label>{title}<select name="{name}"></select></label>'
        for name, title in (("chart", "Plot"), ("x", "x"), ("y", "y"), ("colour", "Colour"))
    )
    return gr.HTML(
        html_template=f"""<section class="tk-sql" data-questions="{quote(asked)}">
<h2>SQL over all of it</h2>
<p class="tk-sub">One SELECT in DuckDB's dialect, over {escape(over)}. Tables: {escape(tables)}.</p>
<label class="tk-sql-examples">Examples<select><option value="">choose one</option>{examples}
</select></label>
<label class="tk-unseen" for="sql">SQL</label>
<textarea id="sql" rows="5" spellcheck="false" maxlength="20000"
 placeholder="SELECT ..."></textarea>
<div class="tk-lib-bar"><button type="button" data-do="answer">Run query</button>
  <span class="tk-sub">Ctrl+Enter runs it</span>
  <button type="button" data-do="csv">CSV</button>
  <button type="button" data-do="parquet">Parquet</button>
  <span class="tk-lib-count" role="status"></span></div>
<p class="tk-status tk-error" role="alert" hidden></p>
<div class="tk-table" hidden></div>
<form class="tk-lib-filters tk-sql-plot" hidden>{choices}</form></section>""",
        js_on_load=_SQL_JS,
        elem_id="query",
        elem_classes="tk-block",
    )
