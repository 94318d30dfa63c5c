"""The Cache page: policies that really drop entries, side by side, every decision replayed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from tokenarium.backend import (
    CacheEstimate,
    CacheRequest,
    CacheResult,
    Cancelled,
    Finished,
    Lab,
    Partial,
    PolicyRun,
    Protected,
    Run,
    SweepRequest,
    UserError,
    protected,
)
from tokenarium.ui.components.cache_table import cache_sentence, cache_table
from tokenarium.ui.components.cost_card import cache_card, refused_card
from tokenarium.ui.components.sentence import facts_of, status, told
from tokenarium.ui.components.token_rows import Lane, lanes_value
from tokenarium.ui.figures.eviction import (
    bytes_line,
    cost_line,
    held_map,
    lost_line,
    scores,
    time_line,
)
from tokenarium.ui.figures.style import caption
from tokenarium.ui.views.view import Values, choice, number
from tokenarium.ui.visitor import visitor_of

MOST_POLICIES = 4
PARTIAL_EVERY_S = 2.0
PoliciesRequest = CacheRequest | SweepRequest
"""What a shown run was asked with: itself, or a point of a sweep."""
UNITS = {"tokens": "tokens per head", "ratio": "share of the prompt", "megabytes": "MB"}


@dataclass(frozen=True)
class Asked:
    """What the controls of the page say; a browser may send anything."""

    model: object
    prompt: object
    policies: object
    parameters: Mapping[str, Mapping[str, Any]]
    """By slug what the controls of each policy say."""
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
                    yield self._whole(event.run, place)
                elif not isinstance(event, Partial):
                    yield {"cache_status": told(event)}
                elif time.monotonic() - drawn > PARTIAL_EVERY_S:
                    assert isinstance(event.result, CacheResult)
                    yield {**_all(event.result, wanted, place), "cache_run": None}
                    drawn = time.monotonic()
        except (UserError, Cancelled) as error:
            yield {"cache_status": status(str(error), "error")}

    def move(self, run_id: object, place: tuple[object, ...], request: gr.Request) -> Values:
        """Show another layer, KV head, or step of the scores, from the stored run."""
        if not isinstance(run_id, str):
            return {}
        try:
            result, asked = _cache_of(self.lab.open(run_id, visitor=visitor_of(request)))
        except UserError as error:
            return {"cache_status": status(str(error), "error")}
        return _of_place(result, asked, place)

    def open(self, run_id: object, place: tuple[object, ...], request: gr.Request) -> Values:
        """Show a stored run, the controls as they were when it was asked for."""
        if not isinstance(run_id, str) or not run_id:
            return {}
        try:
            return self._whole(self.lab.open(run_id, visitor=visitor_of(request)), place)
        except UserError as error:
            return {"cache_status": status(str(error), "error")}

    def first(self) -> Values:
        """Return the parts of the stored example, drawn before any visitor comes."""
        try:
            examples = self.lab.examples("cache")
            run = self.lab.open(examples[0].run_id) if examples else None
            return {} if run is None else self._whole(run, (0, 0, None, None))
        except UserError:
            return {}

    def cost(self, asked: Asked, request: gr.Request) -> Values:
        """Say what Run will take with the controls as they are."""
        try:
            wanted = self._request(asked)
            cost = self.lab.estimate(wanted, visitor=visitor_of(request))
        except UserError as error:
            return {"cache_cost": refused_card(str(error))}
        assert isinstance(cost, CacheEstimate)
        return {"cache_cost": cache_card(cost)}

    def stored(self, request: gr.Request) -> list[tuple[str, str]]:
        """Return label and id of the newest runs of this kind that the visitor may list."""
        found = self.lab.search(visitor=visitor_of(request), kind="cache", limit=30)
        return [(f"{' '.join(r.text.split())[:48]} · {r.model}", r.id) for r in found]

    def _request(self, asked: Asked) -> CacheRequest:
        chosen = asked.policies if isinstance(asked.policies, list) else []
        if not 1 <= len(chosen) <= MOST_POLICIES:
            raise UserError(f"policies={len(chosen)} chosen: choose 1 to {MOST_POLICIES}")
        return self.lab.request(
            CacheRequest,
            model=asked.model,
            text=asked.prompt,
            policies=specs_of(chosen, asked.parameters),
            budget=asked.budget,
            budget_unit=choice(asked.unit, tuple(UNITS), "tokens"),
            max_new_tokens=int(number(asked.new_tokens, 1, 4096, 64)),
            oracle=bool(asked.oracle),
        )

    def _whole(self, run: Run, place: tuple[object, ...]) -> Values:
        result, asked = _cache_of(run)
        found = {
            **_all(result, asked, place),
            "cache_facts": facts_of(run),
            "cache_run": run.id,
            "cache_address": {"run": run.id, "example": run.id.startswith("example-")},
        }
        return {**found, **_controls(asked)} if isinstance(asked, CacheRequest) else found


def specs_of(chosen: Sequence[object], told: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Return the chosen policies with what their controls say."""
    return [{"slug": slug, "parameters": told.get(str(slug), {})} for slug in chosen]


def _all(result: CacheResult, asked: PoliciesRequest, place: tuple[object, ...]) -> Values:
    return {
        "cache_status": "",
        "cache_said": cache_sentence(result),
        "cache_table": cache_table(result),
        "cache_bytes": _drawn(bytes_line(result), result),
        "cache_time": _drawn(time_line(result), result),
        "cache_kl": _drawn(cost_line(result), result),
        "cache_lost": _drawn(lost_line(result), result),
        **_of_place(result, asked, place),
    }


def _controls(asked: CacheRequest) -> Values:
    """Return every control as the request has it."""
    return {
        "cache_model": asked.model,
        "cache_prompt": asked.text,
        "cache_policies": [spec.slug for spec in asked.policies],
        "cache_parameters": {spec.slug: spec.parameters for spec in asked.policies},
        "cache_budget": asked.budget,
        "cache_unit": asked.budget_unit,
        "cache_new_tokens": asked.max_new_tokens,
        "cache_oracle": asked.oracle,
    }


def _of_place(result: CacheResult, asked: PoliciesRequest, place: tuple[object, ...]) -> Values:
    layers, heads = result.evicted_at.shape[1:3]
    layer, head, step, which = place
    at = int(number(layer, 0, layers - 1, 0)), int(number(head, 0, heads - 1, 0))
    runs = result.runs
    shown = next((run for run in runs if run.policy == which), runs[-1])
    step = int(number(step, 0, 1e6, 1e6))
    names = [(title, slug) for title, slug in zip(result.titles, result.policies, strict=True)]
    own = [_protected(run, asked, at[0]) for run in runs]
    return {
        "lanes": _lanes(result, own, *at),
        "cache_map": _drawn(held_map(shown, own[shown.number], *at), result),
        "cache_scores": _drawn(scores(shown, step, *at), result),
        "cache_layer": gr.update(maximum=max(layers - 1, 1), value=at[0]),
        "cache_head": gr.update(maximum=max(heads - 1, 1), value=at[1]),
        "cache_which": gr.update(choices=names, value=shown.policy),
        "cache_place": gr.update(visible=True),
    }


def _protected(run: PolicyRun, asked: PoliciesRequest, layer: int) -> Protected:
    result, policy = run.result, asked.policies[run.number].policy
    layers = result.evicted_at.shape[1]
    return protected(policy, result.budget_tokens, layers, layer, len(result.prompt_ids))


def _lanes(result: CacheResult, own: Sequence[Protected], layer: int, head: int) -> dict[str, Any]:
    lanes = []
    for run in result.runs:
        texts = result.token_text[run.number][: run.steps]
        gone = result.evicted_at[run.number, layer, head, : len(result.prompt_text) + run.steps]
        apart = np.flatnonzero(run.top1_agree == 0).tolist()
        at = result.selected_at
        rows = np.flatnonzero((at[:, 0] == run.number) & (at[:, 2] == layer))
        selected = [(int(at[row, 1]), result.selected_bits[row, head]) for row in rows]
        title = result.titles[run.number]
        lanes.append(Lane(title, run.label, texts, gone, apart, own[run.number], selected))
    return lanes_value(result.prompt_text, lanes, None)


def _drawn(figure: Any, result: CacheResult) -> str | None:
    if figure is None:
        return None
    credit = f"Tokenarium · {len(result.prompt_ids)} prompt tokens · budget {result.budget_tokens}"
    return str(caption(figure, credit).to_json())


def _cache_of(run: Run) -> tuple[CacheResult, PoliciesRequest]:
    """Return result and request of a run that must be one under policies.

    Raises:
        UserError: if it is of another kind.
    """
    if not isinstance(run.result, CacheResult):
        raise UserError(f"run={run.id} is a {run.request.kind}, not a run under policies")
    assert isinstance(run.request, CacheRequest | SweepRequest)
    return run.result, run.request
