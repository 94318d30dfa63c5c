"""Trade-off: policies at several budgets, on the prompt or on a task with an answer."""

from collections.abc import Iterator

import gradio as gr
import numpy as np

from backend import Cancelled, Finished, Lab, Partial, SweepRequest, SweepResult, UserError
from ui.components.sentence import status, told
from ui.components.table import Cell, Column, table_html
from ui.figures.style import caption
from ui.figures.tradeoff import MEASURES, tradeoff
from ui.text import escape
from ui.views.view import Values, choice, number
from ui.visitor import visitor_of

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

    def run(self, asked: dict[str, object], request: gr.Request) -> Iterator[Values]:
        """Measure every point, showing those that are done."""
        try:
            wanted = self._request(asked)
            for event in self.lab.stream(wanted, visitor=visitor_of(request)):
                if isinstance(event, Finished):
                    result = event.run.result
                    assert isinstance(result, SweepResult)
                    yield {**_shown(result, asked), "sweep_run": event.run.id, "sweep_status": ""}
                elif isinstance(event, Partial):
                    assert isinstance(event.result, SweepResult)
                    yield _shown(event.result, asked)
                else:
                    yield {"sweep_status": told(event)}
        except (UserError, Cancelled) as error:
            yield {"sweep_status": status(str(error), "error")}

    def restyle(self, run_id: object, asked: dict[str, object], request: gr.Request) -> Values:
        """Draw the last sweep with another measure."""
        if not isinstance(run_id, str):
            return {}
        try:
            result = self.lab.open(run_id, visitor=visitor_of(request)).result
        except UserError as error:
            return {"sweep_status": status(str(error), "error")}
        return _shown(result, asked) if isinstance(result, SweepResult) else {}

    def _request(self, asked: dict[str, object]) -> SweepRequest:
        policies = asked["policies"] if isinstance(asked["policies"], list) else []
        task = asked["task"] if isinstance(asked["task"], str) else PROMPT
        given = {"prompts": (asked["prompt"],)} if task == PROMPT else {"task": task}
        budgets = [entry.strip() for entry in str(asked["budgets"]).split(",") if entry.strip()]
        return self.lab.request(
            SweepRequest,
            model=asked["model"],
            policies=policies,
            budgets=budgets,
            depths=(0.5,) if task == PROMPT else (0.1, 0.5, 0.9),
            length=int(number(asked["length"], 8, 1_000_000, 256)),
            trials=int(number(asked["trials"], 1, 1000, 5)),
            **given,
        )


def _shown(result: SweepResult, asked: dict[str, object]) -> Values:
    measure = choice(asked["measure"], tuple(MEASURES), "kl")
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
            result.titles[result.policy[n]],
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
