"""A head in this text against what it usually does, as lines of the token card."""

import math
from urllib.parse import urlencode

from tokenarium.backend import (
    MEASURED,
    HeadCorpus,
    TraceResult,
    measure_definition,
    measure_title,
    trace_measures,
)
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.usual import measurement, of_head

TEXT_SHOWN = 120
"""Characters of the text that a head is strongest on: the Heads page has all of it."""


def usual_head(result: TraceResult, corpus: HeadCorpus, layer: int, head: int) -> str:
    """Return one line for each measure of a head as HTML; of what has no number, none.

    Args:
        corpus: of the model that made ``result``.
    """
    if corpus.mean.shape[1:] != result.sink_score.shape:
        return ""
    here = {name: float(values[layer, head]) for name, values in trace_measures(result).items()}
    rows = "".join(
        _row(name, corpus, (measure, layer, head), here.get(name, math.nan))
        for measure, name in enumerate(MEASURED)
        if math.isfinite(corpus.mean[measure, layer, head])
    )
    about = corpus.about
    address = f"heads?{urlencode({'model': about.model, 'layer': layer, 'head': head})}"
    whole = {"texts": len(about.texts), "shortest": min(about.tokens), "longest": max(about.tokens)}
    texts, shortest, longest = (
        number(str(value), source(name), measurement(corpus)) for name, value in whole.items()
    )
    return (
        '<h3 class="tk-card-part">Against its usual self</h3>'
        f'<p class="tk-sub">Usual: median (5 % to 95 %) over {texts} texts of '
        f"{shortest} to {longest} tokens. "
        f'<a href="{escape(address)}">This head in all texts</a></p>'
        f'<div class="tk-rows">{rows}</div>'
    )


def _row(name: str, corpus: HeadCorpus, place: tuple[int, int, int], here: float) -> str:
    # As they are shown, so that two numbers that look alike are not called different.
    low, middle, high = (f"{value:.2f}" for value in corpus.quantiles[(slice(None), *place)])
    shown = {"median": middle, "low": low, "high": high, "count": str(int(corpus.count[place]))}
    marked = {
        each: number(text, of_head(each, place), measurement(corpus))
        for each, text in shown.items()
    }
    # Of the line's own n nothing is said where it is that of all texts, which stands above.
    fewer = int(corpus.count[place]) < len(corpus.about.texts)
    over = f" over {marked['count']} texts" if fewer else ""
    known, usual = math.isfinite(here), f"usually {marked['median']} "
    # A range is not broken between its numbers, but after it: the space stands outside.
    said = f"{usual}<span>({marked['low']} to {marked['high']}{over}){',' * known}</span>"
    if known:
        outside = not float(low) <= float(f"{here:.2f}") <= float(high)
        own = number(f"{here:.2f}", source(f"here_{name}", *place[1:]))
        said += f" here {f'<strong>{own}</strong>' if outside else own}"
    text = " ".join(corpus.about.texts[int(corpus.strongest[place])].split())[:TEXT_SHOWN]
    # Beside the summary, not in it: a button in what is a button itself is read by nobody.
    return (
        '<div class="tk-row tk-row-usual"><details>'
        f"<summary><span>{escape(measure_title(name))}</span></summary>"
        f"<p>{escape(measure_definition(name))}<br>Strongest in: “{escape(text)}…”</p></details>"
        f"<data>{said}</data></div>"
    )
