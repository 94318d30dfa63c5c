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
        _row(name, corpus, (number, layer, head), here.get(name, math.nan))
        for number, name in enumerate(MEASURED)
        if math.isfinite(corpus.mean[number, layer, head])
    )
    about = corpus.about
    address = f"heads?{urlencode({'model': about.model, 'layer': layer, 'head': head})}"
    shortest, longest = min(about.tokens), max(about.tokens)
    return (
        '<h3 class="tk-card-part">Against its usual self</h3>'
        f'<p class="tk-sub">Usual: median (5 % to 95 %) over {len(about.texts)} texts of '
        f"{shortest} to {longest} tokens. "
        f'<a href="{escape(address)}">This head in all texts</a></p>'
        f'<div class="tk-rows">{rows}</div>'
    )


def _row(name: str, corpus: HeadCorpus, place: tuple[int, int, int], here: float) -> str:
    # As they are shown, so that two numbers that look alike are not called different.
    low, middle, high = (f"{value:.2f}" for value in corpus.quantiles[(slice(None), *place)])
    usual = f"usually {middle} ({low} to {high}"
    count = int(corpus.count[place])
    # Of the line's own n nothing is said where it is that of all texts, which stands above.
    usual += f" over {count} texts)" if count < len(corpus.about.texts) else ")"
    said = usual
    if math.isfinite(here):
        outside = not float(low) <= float(f"{here:.2f}") <= float(high)
        number = f"<strong>{here:.2f}</strong>" if outside else f"{here:.2f}"
        said = f"{usual}, here {number}"
    text = " ".join(corpus.about.texts[int(corpus.strongest[place])].split())[:TEXT_SHOWN]
    return (
        f"<details><summary><span>{escape(measure_title(name))}</span><data>{said}</data></summary>"
        f"<p>{escape(measure_definition(name))}<br>Strongest in: “{escape(text)}…”</p></details>"
    )
