"""Trade-off: policies at several budgets, on the prompt or on a task with an answer."""

from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import numpy as np

from tokenarium.backend import (
    Cancelled,
    Finished,
    Lab,
    Partial,
    Run,
    SweepEstimate,
    SweepRequest,
    SweepResult,
    UserError,
)
from tokenarium.ui.components.cost_card import refused_card, sweep_card
from tokenarium.ui.components.sentence import status, told
from tokenarium.ui.components.table import Cell, Column, Link, table_html
from tokenarium.ui.figures.style import caption
from tokenarium.ui.figures.tradeoff import MEASURES, tradeoff
from tokenarium.ui.pages.cache import Asked, specs_of
from tokenarium.ui.text import escape
from tokenarium.ui.views.view import Values, choice, number
from tokenarium.ui.visitor import visitor_of

PROMPT = ""
"""The task that is none: the prompt of the page is continued."""
COLUMNS = (
    Column("policy"),
    Column("budget", "Share of the prompt that may be kept."),
    Column("depth", "Where what is asked for stands: 0 at the start, 1 before the question."),
    Column("right", "Answers of which every token is the likeliest, of how many."),
    Column("accuracy", "With its 95 % Wilson interval."),
    Column("right tokens", "Share of the answer's tokens that are the likeliest."),
    Column("KL to full", "Mean divergence from the full cache, in nats."),
    Column("cache", "Bytes held, mean."),
    Column("ms per token", "Median and 90th percentile."),
)


class Tradeoff:
    """Handlers of the part of the page that sweeps."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def run(self, asked: dict[str, Any], request: gr.Request) -> Iterator[Values]:
        """Measure every point, showing those that are done."""
        try:
            wanted = self._request(asked)
            for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                if isinstance(event, Finished):
                    result = event.run.result
                    assert isinstance(result, SweepResult)
                    yield {
                        **_shown(result, asked["measure"]),
                        "sweep_run": event.run.id,
                        "sweep_status": "",
                        "cache_address": {"sweep": event.run.id},
                    }
                elif isinstance(event, Partial):
                    assert isinstance(event.result, SweepResult)
                    yield _shown(event.result, asked["measure"])
                else:
                    yield {"sweep_status": told(event)}
        except (UserError, Cancelled) as error:
            yield {"sweep_status": status(str(error), "error")}

    def restyle(self, run_id: object, measure: object, request: gr.Request) -> Values:
        """Draw the last sweep with another measure."""
        return self.open(run_id, request, measure)

    def open(self, run_id: object, request: gr.Request, measure: object = "kl") -> Values:
        """Show a stored sweep."""
        if not isinstance(run_id, str) or not run_id:
            return {}
        try:
            run, result, _ = self._stored(run_id, request)
        except UserError as error:
            return {"sweep_status": status(str(error), "error")}
        return {
            **_shown(result, measure),
            "sweep_run": run.id,
            "cache_address": {"sweep": run.id},
        }

    def cost(self, asked: dict[str, Any], request: gr.Request) -> Values:
        """Say what Sweep will take with the controls as they are."""
        try:
            cost = self.lab.estimate(self._request(asked), visitor=visitor_of(request))
        except UserError as error:
            return {"sweep_cost": refused_card(str(error))}
        assert isinstance(cost, SweepEstimate)
        return {"sweep_cost": sweep_card(cost)}

    def point(self, run_id: object, number: object, request: gr.Request) -> Iterator[Run | Values]:
        """Find the run of a point: stored with its sweep, or done again where it is not there."""
        if not isinstance(run_id, str) or isinstance(number, bool) or not isinstance(number, int):
            return
        try:
            _, result, asked = self._stored(run_id, request)
            if not 0 <= number < len(result.policy):
                return
            depth = float(result.depth[number])
            ratio = _nearest((*asked.budgets, 1.0), float(result.ratio[number]))
            known = None if np.isnan(depth) else _nearest(asked.depths, depth)
            wanted = asked.point(int(result.policy[number]), ratio, known)
            for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                yield event.run if isinstance(event, Finished) else {"cache_status": told(event)}
        except (UserError, Cancelled) as error:
            yield {"sweep_status": status(str(error), "error")}

    def _stored(self, run_id: str, request: gr.Request) -> tuple[Run, SweepResult, SweepRequest]:
        run = self.lab.open(run_id, visitor=visitor_of(request))
        if not isinstance(run.result, SweepResult) or not isinstance(run.request, SweepRequest):
            raise UserError(f"run={run.id} is a {run.request.kind}, not a sweep")
        return run, run.result, run.request

    def _request(self, asked: dict[str, Any]) -> SweepRequest:
        page: Asked = asked["asked"]
        policies = page.policies if isinstance(page.policies, list) else []
        task = asked["task"] if isinstance(asked["task"], str) else PROMPT
        given = {"prompts": (page.prompt,)} if task == PROMPT else {"task": task}
        budgets = [entry.strip() for entry in str(asked["budgets"]).split(",") if entry.strip()]
        return self.lab.request(
            SweepRequest,
            model=page.model,
            policies=specs_of(policies, page.parameters),
            budgets=budgets,
            depths=(0.5,) if task == PROMPT else (0.1, 0.5, 0.9),
            length=int(number(asked["length"], 8, 1_000_000, 256)),
            trials=int(number(asked["trials"], 1, 1000, 5)),
            **given,
        )


def _nearest(asked: Sequence[float], found: float) -> float:
    """Return the number as it was asked for; a result has it in single precision."""
    return min(asked, key=lambda own: abs(own - found))


def _shown(result: SweepResult, wanted: object) -> Values:
    measure = choice(wanted, tuple(MEASURES), "kl")
    return {
        "sweep_said": _said(result),
        "sweep_bytes": _drawn(result, measure, "bytes"),
        "sweep_ms": _drawn(result, measure, "ms"),
        "sweep_table": _table(result),
    }


def _drawn(result: SweepResult, measure: str, against: str) -> str:
    figure = tradeoff(result, measure, against)
    return str(caption(figure, f"Tokenarium · {len(result.policy)} points").to_json())


def _said(result: SweepResult) -> str:
    done = f"{len(result.policy)} of {result.points} points measured."
    verdict = f" {result.verdict}." if result.verdict else ""
    refused = sorted({reason for reason in result.refused if reason})
    told_no = "".join(f'<p class="tk-sub">{escape(reason)}</p>' for reason in refused[:4])
    return f'<p class="tk-sentence">{done}{escape(verdict)}</p>{told_no}'


def _table(result: SweepResult) -> str:
    rows: list[list[Cell]] = [
        [
            Link(result.titles[result.policy[n]], {"point": n}),
            f"{result.ratio[n]:.0%}",
            "any" if np.isnan(result.depth[n]) else f"{result.depth[n]:g}",
            f"{result.correct[n]} of {result.trials[n]}",
            f"{result.accuracy[n]:.2f} ({result.accuracy_low[n]:.2f} to "
            f"{result.accuracy_high[n]:.2f})",
            f"{result.token_accuracy[n]:.2f}",
            f"{result.kl_nats[n]:.3f}",
            f"{result.cache_bytes[n] / 2**20:.2f} MiB",
            f"{result.step_ms_p50[n]:.1f} ({result.step_ms_p90[n]:.1f})",
        ]
        for n in range(len(result.policy))
        if not result.refused[n]
    ]
    return table_html(COLUMNS, rows, "Every measured point", "Nothing measured yet.")
