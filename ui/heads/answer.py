"""What the Heads page shows: a table of heads, and one head with its numbers and texts."""

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import numpy as np

from tokenarium.backend import (
    DEFAULT_MODEL,
    MEASURED,
    HeadCorpus,
    Lab,
    MeasuredOn,
    UserError,
    measure_definition,
    measure_title,
    measured_models,
    usual_heads,
)
from tokenarium.ui.components.table import Cell, Column, Link, Number, Numbers, table_html
from tokenarium.ui.heads.search import EXAMPLE, found
from tokenarium.ui.text import escape, one_line
from tokenarium.ui.why.number import number, of_run, source
from tokenarium.ui.why.usual import measurement, of_head

MOST_ROWS = 50
TEXT_SHOWN = 70
"""Characters of a text in the table."""


def answer(lab: Lab, asked: Mapping[str, Any], visitor: str = "") -> dict[str, Any]:
    """Return what the page shows.

    Args:
        lab: where measurements are looked for, and a stored run to see a head in.
        asked: ``model``, ``by`` (a measure), ``order`` (``low`` for the smallest first), ``find``,
            ``layer`` and ``head``, as a browser says them; what cannot be is as if left out.
        visitor: who asks.
    Returns: HTML of the parts, and what can be chosen.
    """
    models = measured_models(lab.settings)
    about = _wanted(models, asked.get("model"))
    shown: dict[str, Any] = {"answer": True, "number": asked.get("number")}
    corpus = None if about is None else usual_heads(lab.settings, about.fingerprint)
    if about is None or corpus is None:
        named = escape(str(asked.get("model") or DEFAULT_MODEL))
        others = [each.model for each in models]
        return {**shown, "said": _unmeasured(named), "models": others, "refused": True}
    by = str(asked.get("by")) if asked.get("by") in MEASURED else "sink"
    find = str(asked.get("find") or "")[:200]
    low = asked.get("order") == "low"
    layers, heads = corpus.mean.shape[1:]
    layer, head = _whole(asked.get("layer"), layers), _whole(asked.get("head"), heads)
    one = ""
    if layer is not None and head is not None:
        one = head_html(corpus, layer, head, _run_of(lab, about.model, visitor))
    try:
        table = heads_html(corpus, by, find, low=low)
    except UserError as error:
        table = f'<p class="tk-status tk-error" role="alert">{escape(str(error))}</p>'
    return {
        **shown,
        "said": _of(corpus, _said(corpus)),
        "models": [each.model for each in models],
        "measures": [[name, measure_title(name), measure_definition(name)] for name in MEASURED],
        "model": about.model,
        "by": by,
        "find": find,
        "low": low,
        "example": EXAMPLE,
        "layers": layers,
        "heads": heads,
        "head": _of(corpus, one) if one else "",
        "table": _of(corpus, table),
    }


def measured(lab: Lab, model: object) -> HeadCorpus:
    """Return the measurement of a model, of the usual one where none is named.

    Raises:
        UserError: if it is not measured here.
    """
    about = _wanted(measured_models(lab.settings), model)
    corpus = None if about is None else usual_heads(lab.settings, about.fingerprint)
    if corpus is None:
        named = str(model or DEFAULT_MODEL)[:60]
        raise UserError(f"{named} is not measured here: python app.py heads {named} does it once")
    return corpus


def heads_html(corpus: HeadCorpus, by: str, find: str, *, low: bool) -> str:
    """Return the heads that a search finds, at most ``MOST_ROWS``, sorted by a measure's mean.

    Raises:
        UserError: if the search cannot be read.
    """
    measure = MEASURED.index(by)
    fits = np.argwhere(found(corpus, find, measure))
    means = corpus.mean[measure][tuple(fits.T)]
    order = np.argsort(means if low else -means, kind="stable")
    columns = [
        Column("head", "Press one to open it."),
        *(Column(measure_title(name), measure_definition(name)) for name in MEASURED),
        Column("strongest text", f"The text with the largest {measure_title(by)}."),
    ]
    rows: list[list[Cell]] = []
    for layer, head in fits[order[:MOST_ROWS]].tolist():
        link = Link(f"layer {layer}, head {head}", {"layer": layer, "head": head})
        numbers = [_spread(corpus, (m, layer, head)) for m in range(len(MEASURED))]
        rows.append([link, *numbers, _text(corpus, (measure, layer, head))[:TEXT_SHOWN] + "…"])
    counted = f"{len(fits)} heads" + (f", the first {MOST_ROWS}" if len(fits) > MOST_ROWS else "")
    end = "smallest" if low else "largest"
    caption = f"{counted}: mean ± standard deviation, {end} {measure_title(by)} first"
    return table_html(columns, rows, caption, "No head fits this search.")


def head_html(corpus: HeadCorpus, layer: int, head: int, run: str = "") -> str:
    """Return one head: every measure with its spread and the text it is strongest on.

    Args:
        corpus: a measurement.
        layer: of the head.
        head: number in its layer.
        run: id of a stored trace to see the head in.
    """
    rows: list[list[Cell]] = []
    for measure, name in enumerate(MEASURED):
        place = (measure, layer, head)
        if not math.isfinite(corpus.mean[place]):
            continue
        low, middle, high = corpus.quantiles[(slice(None), *place)].tolist()
        values = {
            "mean": float(corpus.mean[place]),
            "deviation": float(corpus.deviation[place]),
            "low": low,
            "median": middle,
            "high": high,
        }
        numbers = [
            Number(f"{value:.3f}", of_head(each, place)) if math.isfinite(value) else "n/a"
            for each, value in values.items()
        ]
        count = Number(str(corpus.count[place]), of_head("count", place))
        rows.append([measure_title(name), *numbers, count, _text(corpus, place)])
    columns = [
        Column("measure", "What each is the mean of stands under Sort by."),
        Column("mean"),
        Column("deviation", "Standard deviation over texts."),
        Column("5 %", "One text in twenty is below."),
        Column("median"),
        Column("95 %", "One text in twenty is above."),
        Column("n", "Texts in which it could be measured."),
        Column("strongest text", "The text with the largest value."),
    ]
    query = urlencode({"run": run, "layer": layer, "head": head, "view": "attention"})
    explore = f'<a href="./?{escape(query)}">See this head in a text</a>'
    if not run:
        explore = "No text that this model read is stored: Explore reads one."
    return f'<h2>Layer {layer}, head {head}</h2><p class="tk-sub">{explore}</p>' + table_html(
        columns,
        rows,
        f"Over {len(corpus.about.texts)} texts: every measure",
        "This layer has no such head.",
    )


def _run_of(lab: Lab, model: str, visitor: str) -> str:
    """Return the id of a stored trace of a model, an example where there is one."""
    shipped = [each.run_id for each in lab.examples("trace") if each.request.model == model]
    stored = [each.id for each in lab.search(kind="trace", model=model, limit=1, visitor=visitor)]
    return next(iter(shipped + stored), "")


def _wanted(models: tuple[MeasuredOn, ...], name: object) -> MeasuredOn | None:
    if isinstance(name, str) and name:
        return next((each for each in models if each.model == name), None)
    usual = next((each for each in models if each.model == DEFAULT_MODEL), None)
    return usual or (models[0] if models else None)


def _whole(value: object, below: int) -> int | None:
    return value if isinstance(value, int) and 0 <= value < below else None


def _of(corpus: HeadCorpus, html: str) -> str:
    """Return HTML whose numbers are of a measurement."""
    return of_run(html, measurement(corpus))


def _spread(corpus: HeadCorpus, place: tuple[int, int, int]) -> Cell:
    mean, deviation = float(corpus.mean[place]), float(corpus.deviation[place])
    if not math.isfinite(mean):
        return "n/a"
    middle = Number(f"{mean:.2f}", of_head("mean", place))
    if not math.isfinite(deviation):
        return middle
    return Numbers((middle, " ± ", Number(f"{deviation:.2f}", of_head("deviation", place))))


def _text(corpus: HeadCorpus, place: tuple[int, int, int]) -> str:
    text = int(corpus.strongest[place])
    return one_line(corpus.about.texts[text]) if text >= 0 else ""


def _said(corpus: HeadCorpus) -> str:
    about, (layers, heads) = corpus.about, corpus.mean.shape[1:]
    numbers = {
        "layers": layers,
        "heads": heads,
        "texts": len(about.texts),
        "shortest": min(about.tokens),
        "longest": max(about.tokens),
    }
    shown = {name: number(str(value), source(name)) for name, value in numbers.items()}
    return (
        f'<p class="tk-sub">{escape(about.model)}: {shown["layers"]} layers of {shown["heads"]} '
        f"heads over {shown['texts']} texts of {shown['shortest']} to {shown['longest']} tokens, "
        f"read as {escape(about.dtype)}. A head's numbers are of such texts: longer ones give "
        "others.</p>"
    )


def _unmeasured(model: str) -> str:
    return (
        f'<p class="tk-status">{model} is not measured here: '
        f"<code>python app.py heads {model}</code> does it once, a second or so a text.</p>"
    )
