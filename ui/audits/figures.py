"""Imported figures in words: rounds, definitions side by side with own runs, checks."""

from collections.abc import Sequence

from tokenarium.backend import (
    Definition,
    ImportResult,
    Lab,
    SpeculateRequest,
    SpeculationResult,
    UserError,
    definitions,
    totals_of_run,
)
from tokenarium.ui.components.speculate_tables import audit_badge
from tokenarium.ui.components.table import Cell, Column, Number, table_html
from tokenarium.ui.text import escape, many, one_line
from tokenarium.ui.why.number import number, source
from tokenarium.ui.why.said import NOTE, notes

MOST_ROUNDS = 600
OWN = 3
"""Own runs beside an imported one."""


def sentence_html(result: ImportResult) -> str:
    """Return what was read, in one sentence."""
    sums = result.requests
    engine = escape(result.engine or "another engine")
    model = f" of {escape(one_line(result.model))}" if result.model else ""
    rounds, accepted, drafted = (int(sums[name].sum()) for name in ("rounds", "accepted",
                                                                    "drafted"))  # fmt: skip
    told = []
    if (sums["rounds"] >= 0).all():
        told.append(number(many(rounds, "round"), source("import_sum_rounds")))
    if (sums["accepted"] >= 0).all() and (sums["drafted"] >= 0).all():
        told.append(
            f"{number(f'{accepted:,}', source('import_sum_accepted'))} of "
            f"{number(f'{drafted:,}', source('import_sum_drafted'))} drafted tokens accepted"
        )
    if (sums["new_tokens"] >= 0).all():
        new = f"{int(sums['new_tokens'].sum()):,} new tokens"
        told.append(number(new, source("import_sum_new")))
    return (
        f'<p class="tk-sentence"><b>{many(len(sums), "request")}</b>{model}, as {engine} reports '
        f"{'them' if len(sums) > 1 else 'it'}: {', '.join(told) or 'no sums'}.</p>"
    )


def rounds_html(result: ImportResult) -> str:
    """Return a strip of rounds: a filled square for each accepted token, else an empty one."""
    rounds = result.rounds
    if not len(rounds):
        return '<p class="tk-sub">No rounds are reported, sums only.</p>'
    parts = []
    for at, (_, drafted, accepted) in enumerate(rounds[:MOST_ROUNDS].tolist()):
        others = max(0, drafted - accepted)
        of = f" of {drafted}" if drafted >= 0 else ""
        parts.append(
            f'<span class="tk-import-round" title="round {at + 1}: {accepted}{of} accepted">'
            f"<b>{'■' * min(accepted, 32)}</b><i>{'□' * min(others, 32)}</i></span>"
        )
    more = len(rounds) - len(parts)
    rest = f'<span class="tk-sub"> and {more:,} more</span>' if more > 0 else ""
    return (
        '<div class="tk-import-rounds" role="region" tabindex="0" aria-label="Rounds">'
        f"{''.join(parts)}{rest}</div>"
        '<p class="tk-sub">■ accepted, □ drafted and not accepted; each round adds one token '
        f"more.</p>{notes(result, tag=NOTE)}"
    )


def own_runs(lab: Lab, visitor: str) -> list[tuple[str, list[Definition]]]:
    """Return the newest speculative runs of the visitor, by the same definitions."""
    found = []
    for listed in lab.search(kind=SpeculateRequest.kind, visitor=visitor, limit=OWN):
        try:
            run = lab.open(listed.id, visitor=visitor)
        except UserError:
            continue
        if isinstance(run.request, SpeculateRequest) and isinstance(run.result, SpeculationResult):
            title = f"{run.request.drafter.slug}, {run.request.model}"
            found.append((title, definitions(totals_of_run(run.result))))
    return found


def definitions_html(result: ImportResult, own: Sequence[tuple[str, Sequence[Definition]]]) -> str:
    """Return every definition with its value here and in own runs."""
    columns = [
        Column("measure"),
        Column("defined as"),
        Column("used by"),
        Column("imported"),
        *(Column(title, "A stored run of yours on Speculate.") for title, _ in own),
    ]
    rows: list[list[Cell]] = [
        [
            each["title"],
            each["formula"],
            each["used_by"],
            Number(_number(each["value"]), source("import_definition", at))
            if each["value"] is not None
            else _number(None),
            *(_number(values[at].value) for _, values in own),
        ]
        for at, each in enumerate(result.definitions)
    ]
    caption = "One run has several acceptance lengths; these are not the same number"
    return table_html(columns, rows, caption, "")


def checks_html(result: ImportResult) -> str:
    """Return whether the figures agree with each other."""
    about = "Whether rounds, sums, ratios and tokens agree with each other."
    return audit_badge(result.audit, about)


def _number(value: float | None) -> str:
    return "not known" if value is None else f"{value:.3f}"
