"""Tables of a stored run as CSV, of every kind that has one."""

from typing import Any

from tokenarium.backend import (
    AttributeResult,
    CacheResult,
    ReduceResult,
    Run,
    SpeculationResult,
    SweepResult,
    TraceResult,
)
from tokenarium.ui.components.csv_file import csv_columns, csv_text


def tokens_csv(run: Run) -> str:
    """Return what a trace measured of every token."""
    result = run.result
    assert isinstance(result, TraceResult)
    texts = list(result.token_text)
    lacking = result.missing
    measured = [
        name
        for name, each in result.quantities().items()
        if each.axes == "T" and name not in lacking
    ]
    columns = {name: getattr(result, name) for name in measured if name != "token_text"}
    return csv_columns({"token_text": texts, **columns})


def steps_csv(run: Run) -> str:
    """Return what was counted and measured after every step, a line for each policy and step."""
    assert isinstance(run.result, CacheResult)
    rows = [(each, step) for each in run.result.runs for step in range(each.steps)]
    measured = ("cache_bytes", "step_ms", "kl_nats", "top1_agree")
    return csv_columns(
        {
            "policy": [each.policy for each, _ in rows],
            "step": [step for _, step in rows],
            "token": [each.result.token_text[each.number][step] for each, step in rows],
            **{name: [getattr(each, name)[step] for each, step in rows] for name in measured},
        }
    )


def units_csv(run: Run) -> str:
    """Return the units of an attribution with their scores."""
    result = run.result
    assert isinstance(result, AttributeResult)
    return csv_columns(
        {
            "unit": list(result.unit_text),
            "start": result.units[:, 0].tolist(),
            "stop": result.units[:, 1].tolist(),
            **{name: getattr(result, name).tolist() for name in ("scores", "low", "high")},
        }
    )


def reduced_csv(run: Run) -> str:
    """Return every reduced model with its cost and loss."""
    result = run.result
    assert isinstance(result, ReduceResult)
    measured = ("setting", "cost", "loss_nats")
    return csv_columns(
        {
            "curve": [result.series[number] for number in result.point_series],
            "model": list(result.point_label),
            **{name: getattr(result, name).tolist() for name in measured},
        }
    )


def points_csv(run: Run) -> str:
    """Return every measured point of a sweep as CSV."""
    result = run.result
    assert isinstance(result, SweepResult)
    counted = [name for name, define in result.quantities().items() if define.axes == "C"]
    values: dict[str, Any] = {name: getattr(result, name) for name in counted}
    return csv_columns({"title": [result.titles[n] for n in result.policy], **values})


def nodes_csv(run: Run) -> str:
    """Return every node that a speculative run drafted."""
    assert isinstance(run.result, SpeculationResult)
    return csv_text(run.result.nodes)


def rounds_csv(run: Run) -> str:
    """Return every round of a speculative run."""
    assert isinstance(run.result, SpeculationResult)
    return csv_text(run.result.rounds)
