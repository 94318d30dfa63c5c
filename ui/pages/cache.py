"""The Cache page: policies that really drop entries, side by side, every decision replayed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from backend import (
    CacheRequest,
    CacheResult,
    Cancelled,
    Finished,
    Lab,
    Partial,
    PolicyRun,
    Run,
    UserError,
)
from ui.components.lanes import Lane, lanes_value
from ui.components.sentence import facts_of, status, told
from ui.components.table import Cell, Column, table_html
from ui.figures.eviction import bytes_line, cost_line, held_map, lost_line, scores, time_line
from ui.figures.style import caption
from ui.text import escape
from ui.views.view import Values, choice, number
from ui.visitor import visitor_of

MOST_POLICIES = 4
PARTIAL_EVERY_S = 2.0
UNITS = {"tokens": "tokens per head", "ratio": "share of the prompt", "megabytes": "MB"}
COLUMNS = (
    Column("policy"),
    Column("really", "What it does: evict frees memory, select keeps all and reads a part."),
    Column("cache", "Bytes held after the last step, and the share of the first policy's."),
    Column("ms per token", "Median and 90th percentile of the steps, without the oracle's time."),
    Column("first token", "Time to read the prompt and know the first token."),
    Column("KL to full", "Mean divergence of the prediction from the full cache's, in nats."),
    Column("same choice", "Share of steps where the full model would have said the same."),
    Column("parts from full", "First step where the full model would have chosen another token."),
    Column("attention lost", "The full model's attention to dropped tokens, mean over all steps."),
    Column("text"),
)


@dataclass(frozen=True)
class Asked:
    """What the controls of the page say; a browser may send anything."""

    model: object
    prompt: object
    policies: object
    parameters: object
    budget: object
    unit: object
    new_tokens: object
    oracle: object


class CachePage:
    """Handlers of the page; they return values by the name of the part."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def run(self, asked: Asked, place: tuple[object, ...], request: gr.Request) -> Iterator[Values]:
        """Read the prompt under every chosen policy, showing what is known so far."""
        try:
            wanted = self._request(asked)
            drawn = 0.0
            for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                if isinstance(event, Finished):
                    yield {**self._all(_result(event.run), place), **_facts(event.run)}
                elif not isinstance(event, Partial):
                    yield {"cache_status": told(event)}
                elif time.monotonic() - drawn > PARTIAL_EVERY_S:
                    assert isinstance(event.result, CacheResult)
                    yield {**self._all(event.result, place), "cache_run": None}
                    drawn = time.monotonic()
        except (UserError, Cancelled) as error:
            yield {"cache_status": status(str(error), "error")}

    def move(self, run_id: object, place: tuple[object, ...], request: gr.Request) -> Values:
        """Show another layer, KV head, or step of the scores, from the stored run."""
        if not isinstance(run_id, str):
            return {}
        try:
            result = _result(self.lab.open(run_id, visitor=visitor_of(request)))
        except UserError as error:
            return {"cache_status": status(str(error), "error")}
        return _of_place(result, place)

    def open(self, run_id: object, place: tuple[object, ...], request: gr.Request) -> Values:
        """Show a stored run."""
        if not isinstance(run_id, str) or not run_id:
            return {}
        try:
            run = self.lab.open(run_id, visitor=visitor_of(request))
            asked = run.request
            assert isinstance(asked, CacheRequest)
            return {
                **self._all(_result(run), place),
                **_facts(run),
                "cache_model": asked.model,
                "cache_prompt": asked.text,
            }
        except UserError as error:
            return {"cache_status": status(str(error), "error")}

    def stored(self, request: gr.Request) -> list[tuple[str, str]]:
        """Return label and id of the newest runs of this kind that the visitor may list."""
        found = self.lab.search(visitor=visitor_of(request), kind="cache", limit=30)
        return [(f"{' '.join(r.text.split())[:48]} · {r.model}", r.id) for r in found]

    def _request(self, asked: Asked) -> CacheRequest:
        chosen = asked.policies if isinstance(asked.policies, list) else []
        if not 1 <= len(chosen) <= MOST_POLICIES:
            raise UserError(f"policies={len(chosen)} chosen: choose 1 to {MOST_POLICIES}")
        told_by = _parameters(str(asked.parameters or ""))
        unknown = sorted(set(told_by) - {str(slug) for slug in chosen})
        if unknown:
            raise UserError(f"parameters name {', '.join(unknown)}, which is not among the chosen")
        specs = [{"slug": s, "parameters": told_by.get(str(s), {})} for s in chosen]
        return self.lab.request(
            CacheRequest,
            model=asked.model,
            text=asked.prompt,
            policies=specs,
            budget=asked.budget,
            budget_unit=choice(asked.unit, tuple(UNITS), "tokens"),
            max_new_tokens=int(number(asked.new_tokens, 1, 4096, 64)),
            oracle=bool(asked.oracle),
        )

    def _all(self, result: CacheResult, place: tuple[object, ...]) -> Values:
        return {
            "cache_status": "",
            "cache_table": _table(result),
            "cache_bytes": _drawn(bytes_line(result), result),
            "cache_time": _drawn(time_line(result), result),
            "cache_cost": _drawn(cost_line(result), result),
            "cache_lost": _drawn(lost_line(result), result),
            **_of_place(result, place),
        }


def _parameters(text: str) -> dict[str, dict[str, str]]:
    """Read ``slug.parameter = value`` lines or a list with commas.

    Raises:
        UserError: naming what cannot be read.
    """
    found: dict[str, dict[str, str]] = {}
    for entry in text.replace("\n", ",").split(","):
        if not entry.strip():
            continue
        name, equals, value = entry.partition("=")
        slug, dot, parameter = name.strip().partition(".")
        if not (equals and dot and value.strip()):
            raise UserError(
                f"parameters={entry.strip()!r} cannot be read: write policy.parameter = value, "
                "such as streaming_llm.sink = 0"
            )
        found.setdefault(slug, {})[parameter] = value.strip()
    return found


def _of_place(result: CacheResult, place: tuple[object, ...]) -> Values:
    layers, heads = result.evicted_at.shape[1:3]
    layer, head, step, which = place
    at = int(number(layer, 0, layers - 1, 0)), int(number(head, 0, heads - 1, 0))
    runs = result.runs
    shown = next((run for run in runs if run.policy == which), runs[-1])
    step = int(number(step, 0, 1e6, 1e6))
    names = [(title, slug) for title, slug in zip(result.titles, result.policies, strict=True)]
    return {
        "lanes": _lanes(result, *at),
        "cache_map": _drawn(held_map(shown, *at), result),
        "cache_scores": _drawn(scores(shown, step, *at), result),
        "cache_layer": gr.Slider(maximum=max(layers - 1, 1), value=at[0]),
        "cache_head": gr.Slider(maximum=max(heads - 1, 1), value=at[1]),
        "cache_which": gr.Dropdown(names, value=shown.policy),
        "cache_place": gr.Row(visible=True),
    }


def _lanes(result: CacheResult, layer: int, head: int) -> dict[str, Any]:
    lanes = []
    for run in result.runs:
        texts = result.token_text[run.number][: run.steps]
        gone = result.evicted_at[run.number, layer, head, : len(result.prompt_text) + run.steps]
        apart = np.flatnonzero(run.top1_agree == 0).tolist()
        lanes.append(Lane(result.titles[run.number], run.label, texts, gone, apart))
    return lanes_value(result.prompt_text, lanes, None)


def _table(result: CacheResult) -> str:
    runs = result.runs
    base = float(runs[0].cache_bytes[-1]) if runs[0].steps else float("nan")
    rows: list[list[Cell]] = [_row(run, base) for run in runs if run.steps]
    notes = "".join(
        f'<p class="tk-sub">{escape(result.titles[run.number])}: {escape("; ".join(run.notes))}</p>'
        for run in runs
        if run.notes
    )
    caption = (
        f"Budget {result.budget_tokens} entries per head, {len(result.prompt_ids)} prompt tokens. "
        "One prompt, not the distribution."
    )
    return table_html(COLUMNS, rows, caption, "Nothing measured yet.") + notes


def _row(run: PolicyRun, base: float) -> list[Cell]:
    result = run.result
    held = float(run.cache_bytes[-1])
    steps = run.step_ms[np.isfinite(run.step_ms)]
    times = (
        f"{np.percentile(steps, 50):.1f} ({np.percentile(steps, 90):.1f})" if len(steps) else "n/a"
    )
    parts = int(result.first_divergence[run.number])
    lost = result.lost_mass[run.number, : run.steps]
    return [
        result.titles[run.number],
        run.label,
        f"{held / 2**20:.2f} MiB ({held / base:.0%})",
        times,
        f"{run.prefill_ms:.0f} ms",
        _mean(run.kl_nats, "{:.3f}"),
        _mean(run.top1_agree, "{:.0%}"),
        "never" if parts < 0 else f"step {parts}",
        _mean(lost, "{:.1%}"),
        run.text.replace("\n", " ")[:160],
    ]


def _mean(values: np.ndarray[Any, Any], form: str) -> str:
    known = values[np.isfinite(values)]
    return form.format(float(known.mean())) if known.size else "n/a"


def _drawn(figure: Any, result: CacheResult) -> str | None:
    if figure is None:
        return None
    credit = f"Tokenarium · {len(result.prompt_ids)} prompt tokens · budget {result.budget_tokens}"
    return str(caption(figure, credit).to_json())


def _facts(run: Run) -> Values:
    return {"cache_facts": facts_of(run), "cache_run": run.id}


def _result(run: Run) -> CacheResult:
    if not isinstance(run.result, CacheResult):
        raise UserError(f"run={run.id} is a {run.request.kind}, not a run under policies")
    return run.result
