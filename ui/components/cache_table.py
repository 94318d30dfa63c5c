"""What every policy of a run holds, takes and costs, in a table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tokenarium.backend import CacheResult, Policy, PolicyRun
from tokenarium.ui.components.cost_card import size
from tokenarium.ui.components.table import Cell, Column, Number, Numbers, table_html
from tokenarium.ui.text import escape, many
from tokenarium.ui.why.number import Source, source
from tokenarium.ui.why.said import marked

COLUMNS = (
    Column("policy"),
    Column("really", "What it does: evict frees memory, select keeps all and reads a part."),
    Column("cache", "Bytes held after the last step, and the share of the first policy's."),
    Column(
        "ms per token", "Median and 90th percentile of the steps; the full model's not counted."
    ),
    Column("first token", "Time to read the prompt and know the first token."),
    Column("KL to full", "Mean divergence of the prediction from the full cache's, in nats."),
    Column(
        "attention recall",
        "The full model's attention to what was kept and read, mean over steps and layers.",
    ),
    Column("same choice", "Share of steps where the full model would have said the same."),
    Column("parts from full", "First step where the full model would have chosen another token."),
    Column("text"),
)


def cache_table(result: CacheResult) -> str:
    """Return one row per policy, as HTML."""
    runs = result.runs
    rows: list[list[Cell]] = [_row(run, runs[0]) for run in runs if run.steps]
    notes = "".join(
        f'<p class="tk-sub">{escape(result.titles[run.number])}: {_noted(run)}</p>'
        for run in runs
        if run.notes
    )
    entries = many(result.budget_tokens, "entry", "entries")
    prompt = many(len(result.prompt_ids), "prompt token")
    caption = (
        "Budget ",
        Number(entries, source("budget_tokens")),
        " per head, ",
        Number(prompt, source("prompt_tokens")),
        ". One prompt, not the distribution.",
    )
    return table_html(COLUMNS, rows, Numbers(caption), "Nothing measured yet.") + notes


def _row(run: PolicyRun, base: PolicyRun) -> list[Cell]:
    result, steps, of = run.result, run.steps, (run.number, run.steps)
    parts = int(result.first_divergence[run.number])
    step = Number(f"step {parts}", source("first_divergence", run.number))
    prefill = Number(f"{run.prefill_ms:.0f} ms", source("prefill_ms", run.number))
    return [
        result.titles[run.number],
        _acting(run),
        _cache(run, base),
        _times(run),
        prefill,
        _mean(run.kl_nats, "{:.3f}", source("kl_mean", *of)),
        _mean(1 - result.lost_mass[run.number, :steps], "{:.1%}", source("recall", *of)),
        _mean(run.top1_agree, "{:.0%}", source("same_choice", *of)),
        "never" if parts < 0 else step,
        run.text.replace("\n", " ")[:160],
    ]


def _noted(run: PolicyRun) -> str:
    notes = enumerate(run.notes)
    return "; ".join(marked(note, "notes", "", run.number, place) for place, note in notes)


def _cache(run: PolicyRun, base: PolicyRun) -> Cell:
    last, held = (run.number, run.steps - 1), int(run.cache_bytes[-1])
    own = Number(size(held), source("cache_bytes", *last))
    if not base.steps:
        return own
    of = source("cache_share", *last, base.number, base.steps - 1)
    return Numbers((own, " (", Number(f"{held / float(base.cache_bytes[-1]):.0%}", of), ")"))


def _times(run: PolicyRun) -> Cell:
    steps, of = run.step_ms[np.isfinite(run.step_ms)], (run.number, run.steps)
    if not len(steps):
        return "n/a"
    median = Number(f"{np.percentile(steps, 50):.1f}", source("step_ms_median", *of))
    slow = Number(f"{np.percentile(steps, 90):.1f}", source("step_ms_p90", *of))
    return Numbers((median, " (", slow, ")"))


def _acting(run: PolicyRun) -> Cell:
    """Return what the policy does, and in how many layers where that is not all of them."""
    budgets = run.result.layer_budgets[run.number]
    acting = int((budgets >= 0).sum())
    if run.label == "nothing" or acting == len(budgets):
        return run.label
    layers = Number(f"{acting}", source("acting_layers", run.number))
    every = Number(f"{len(budgets)}", source("all_layers"))
    return Numbers((f"{run.label}; acts in ", layers, " of ", every, " layers"))


def _mean(values: np.ndarray[Any, Any], form: str, of: Source) -> Cell:
    known = values[np.isfinite(values)]
    return Number(form.format(float(known.mean())), of) if known.size else "n/a"


def declared_table(policies: Sequence[type[Policy]]) -> str:
    """Return what every policy is, from its declaration."""
    columns = (
        Column("policy"),
        Column("really", "What it does: evict frees memory, select keeps all and reads a part."),
        Column("keeps"),
        Column("source"),
    )
    rows: list[list[Cell]] = [
        [
            policy.title + (" (variant)" if policy.differs != "no" else ""),
            policy.label,
            policy.explanation,
            policy.paper,
        ]
        for policy in policies
    ]
    return table_html(columns, rows, "The policies, from their own declarations", "None.")
