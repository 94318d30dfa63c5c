"""Attribution methods beside each other, as a table and in one sentence."""

from collections.abc import Iterable, Mapping

import numpy as np

from tokenarium.backend import AttributeRequest, AttributeResult, Attributor, Run, rank_correlation
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import escape
from tokenarium.ui.why.number import number, source

COLUMNS = (
    Column("method", "Which one."),
    Column("highest unit", "The unit with the largest score."),
    Column("drop", "Fall of the log probability without its highest units, in nats."),
    Column("by chance", "The same without as many others, the mean of twenty draws."),
    Column("p", "How often chance does as well; at most 0.05 beats it."),
    Column("check", "Whether the map names units that matter more than others."),
    Column("mean of the curve", "Comprehensiveness: the mean fall over the points of its curve."),
    Column("texts read", "What it cost."),
)


def compared_of(runs: Iterable[Run]) -> dict[str, AttributeResult]:
    """Return attributions by the title of their method, those of the first one's units."""
    titles = {method.slug: method.title for method in Attributor.registry.all()}
    found: dict[str, AttributeResult] = {}
    for run in runs:
        asked, result = run.request, run.result
        assert isinstance(asked, AttributeRequest)
        assert isinstance(result, AttributeResult)
        first = next(iter(found.values()), result)
        if np.array_equal(first.units, result.units) and first.target_id == result.target_id:
            found[titles[asked.method]] = result
    return found


def ids_of(runs: Iterable[Run]) -> dict[str, str]:
    """Return the id of each run by the title of its method."""
    titles = {method.slug: method.title for method in Attributor.registry.all()}
    return {titles[getattr(run.request, "method", "")]: run.id for run in runs}


def methods_table(
    compared: dict[str, AttributeResult], ids: Mapping[str, str] | None = None
) -> str:
    """Return one row per method, as HTML; its numbers open where the ids of the runs are given."""
    ids = ids or {}

    def of(title: str, shown: str, name: str) -> Cell:
        return Number(shown, source(name), ids[title]) if title in ids else shown

    rows: list[list[Cell]] = [
        [
            title,
            " ".join(result.unit_text[int(result.scores.argmax())].split())[:40],
            of(title, f"{result.check_drop_nats:.2f}", "check_drop_nats"),
            of(title, f"{result.check_random_nats.mean():.2f}", "chance_drop"),
            of(title, f"{result.check_p:.2g}", "check_p"),
            result.verdict,
            "-"
            if result.curve_nats is None
            else of(title, f"{result.curve_nats.mean():.2f}", "curve_mean"),
            of(title, f"{result.passes:,}", "passes"),
        ]
        for title, result in compared.items()
    ]
    caption = "One text. Runs that were stored before are not computed again."
    return table_html(COLUMNS, rows, caption, "Nothing yet.")


def methods_sentence(compared: dict[str, AttributeResult]) -> str:
    """Return which maps beat chance, and which two agree least, as HTML."""
    beat = [title for title, result in compared.items() if result.verdict == "beats chance"]
    count = number(f"{len(beat)}", source("beat"))
    maps = number(f"{len(compared)}", source("maps"))
    named = f": {escape(', '.join(beat))}" if beat else ""
    said = f"{count} of {maps} maps beat chance{named}."
    if len(compared) > 1:
        found = rank_correlation(np.stack([result.scores for result in compared.values()]))
        np.fill_diagonal(found, np.nan)
        if np.isfinite(found).any():
            one, other = map(int, np.unravel_index(int(np.nanargmin(found)), found.shape))
            titles = [*compared]
            least = number(f"{found[one, other]:.2f}", source("agreement", one, other))
            said += (
                f" {escape(titles[one])} and {escape(titles[other])} agree least (rank "
                f"correlation {least})."
            )
    return f'<p class="tk-sentence">{said}</p>'
