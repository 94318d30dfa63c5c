"""A decoding run, offline: the lanes, and the card of every step."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson

from tokenarium.backend import DecodeResult, Run
from tokenarium.ui.components import decoding
from tokenarium.ui.components.decoding_step import step_value
from tokenarium.ui.offline.part import Part


def state(run: Run) -> dict[str, Any]:
    """Return where the page begins: at the first step of the last lane."""
    result = _result(run)
    steps = max((len(lane.token_ids) for lane in result.lanes), default=0)
    return {"step": 0, "node": len(result.lanes) - 1, "steps": max(1, steps)}


def answers(run: Run) -> dict[str, Any]:
    """Return the card of every step of every lane, by lane and step."""
    return {
        f"{lane.number},{step}": step_value(_result(run), lane.number, step)
        for lane in _result(run).lanes
        for step in range(len(lane.token_ids))
    }


def views(run: Run) -> Mapping[str, Callable[[], list[Part]]]:
    """Return the views of a run by name."""
    return {"writing": partial(_writing, run)}


def _writing(run: Run) -> list[Part]:
    value = orjson.loads(decoding.decoding_value(_result(run), run.id))
    return [Part("decoding", "decoding", decoding.template(), value, text=True)]


def _result(run: Run) -> DecodeResult:
    assert isinstance(run.result, DecodeResult)
    return run.result
