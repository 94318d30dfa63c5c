"""The Cache page: policies that really drop entries, side by side, every decision replayed."""

from typing import Any, ClassVar

import gradio as gr

from tokenarium.backend import (
    CacheRequest,
    CacheResult,
    ModelRequest,
    PointRequest,
    Policy,
    SweepRequest,
    UserError,
)
from tokenarium.ui.components.cache_table import declared_table
from tokenarium.ui.components.cache_verdict import cache_sentence
from tokenarium.ui.components.cost_card import cache_card
from tokenarium.ui.components.recipe import build_recipe, filled, parts_of, slugs_of, specs_of
from tokenarium.ui.components.run_csv import steps_csv
from tokenarium.ui.components.turns import given, shown_again
from tokenarium.ui.pages.edit import Edit
from tokenarium.ui.pages.sweep import Sweep
from tokenarium.ui.panels.cache.costs import Costs
from tokenarium.ui.panels.cache.held import Held
from tokenarium.ui.panels.cache.lanes import Lanes, Table
from tokenarium.ui.panels.cache.scene import CacheScene
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import choice_of, groups_of
from tokenarium.ui.shell.panel import Values, choice, number
from tokenarium.ui.shell.section import File, RunPage
from tokenarium.ui.shell.selection import Chosen, Selection

MOST_POLICIES = 5
USUAL = ["full", "recent", "streaming_llm", "h2o"]
UNITS = [("tokens per head", "tokens"), ("share of the prompt", "ratio"), ("MB", "megabytes")]
FIELDS = ("model", "budget", "budget_unit", "max_new_tokens", "oracle")


class Cache(RunPage):
    """Reads a prompt under several policies, and continues it under each."""

    path, title, order = "cache", "Cache", 2
    intro = (
        "A policy drops part of what a model remembers, to save memory. "
        "What each has dropped of one text is struck out."
    )
    text_label = "Prompt"
    text_hint = "Type or paste a text that the model shall continue."
    arrows = "step"
    kinds = (CacheRequest, PointRequest)
    panels = (Lanes, Table, Held, Costs)
    beside = (Sweep, Edit)
    files: ClassVar[dict[str, File]] = {"steps.csv": File("Table of steps (CSV)", steps_csv)}

    def build(self, controls: Controls) -> None:
        """Make the choice of policies and budget."""
        with gr.Row():
            controls.add(
                "policies",
                choice_of(
                    self.lab.methods(Policy),
                    USUAL,
                    f"Policies (up to {MOST_POLICIES})",
                    multiselect=True,
                    max_choices=MOST_POLICIES,
                    info="The first one is what the others' bytes are compared with.",
                    elem_id="policies",
                    scale=3,
                ),
            )
            controls.add("budget", gr.Number(48, label="Budget", minimum=0, elem_id="budget"))
            unit = gr.Dropdown(UNITS, value="tokens", label="Budget counts", elem_id="budget-unit")
            controls.add("budget_unit", unit)
            steps = gr.Slider(1, 512, 48, step=1, label="New tokens", elem_id="max-new-tokens")
            controls.add("max_new_tokens", steps)

    def options(self, controls: Controls) -> None:
        """Make the parameters of the chosen policies."""
        known = {policy.slug: policy for policy in self.lab.methods(Policy)}
        oracle = gr.Checkbox(
            True, label="Full cache alongside", info="Measures what each policy costs.",
            elem_id="oracle",
        )  # fmt: skip
        controls.add("oracle", oracle)
        build_recipe(controls, list(known.values()))
        follows = ["policies", "recipe_first", "recipe_then"]
        controls.form("parameters", lambda asked: groups_of(known, slugs_of(asked)), follows)
        with gr.Accordion("What every policy does", open=False):
            gr.HTML(declared_table(list(known.values())))

    def requests(self, asked: Values) -> list[ModelRequest]:
        """Return one run under the chosen policies."""
        specs = specs_of(asked)
        recipes = sum(isinstance(spec, list) for spec in specs)
        if not 1 <= len(specs) <= MOST_POLICIES + recipes:
            raise UserError(f"policies={len(specs)} chosen: choose 1 to {MOST_POLICIES}")
        wanted = self.lab.request(
            CacheRequest,
            model=asked["model"],
            **given(asked["text"], asked["turns"]),
            policies=specs,
            **parts_of(asked),
            budget=asked["budget"],
            budget_unit=choice(asked["budget_unit"], tuple(name for _, name in UNITS), "tokens"),
            max_new_tokens=int(number(asked["max_new_tokens"], 1, 4096, 64)),
            oracle=bool(asked["oracle"]),
        )
        return [wanted]

    def filled(self, request: Any) -> Values:
        """Return every control as the request has it; a point of a sweep leaves them alone."""
        if isinstance(request, SweepRequest):
            return {}
        plain = {name: getattr(request, name) for name in FIELDS}
        return {**plain, **shown_again(request), **filled(request)}

    def again(self, wanted: Selection) -> Selection:
        """Return the same policy, layer and head, right after the prompt."""
        return Selection(policy=wanted.policy, layer=wanted.layer, head=wanted.head)

    def place(self, wanted: Selection, result: CacheResult) -> Chosen:
        """Return where panels look; usually at the first step, or at what a run does now."""
        layers, heads = result.evicted_at.shape[1:3]
        last = max(0, _steps(result) - 1)
        usual = last if wanted.run is None else 0
        return Chosen(
            wanted.run,
            layer=min(wanted.layer or 0, layers - 1),
            head=min(wanted.head or 0, heads - 1),
            step=usual if wanted.step is None else min(wanted.step, last),
            policy=choice(wanted.policy, result.policies, result.policies[-1]),
        )

    def sizes(self, result: CacheResult) -> Values:
        """Return how many layers, heads and steps there are: step s is what token s came from."""
        layers, heads = result.evicted_at.shape[1:3]
        return {"layers": layers, "heads": heads, "steps": max(1, _steps(result))}

    def said(self, scene: CacheScene) -> str:
        """Return who keeps least, and what it costs."""
        return cache_sentence(scene.result, scene.request.model)

    def card(self, cost: Any, request: Any) -> str:  # noqa: ARG002
        """Return passes, bytes and time."""
        return cache_card(cost)


def _steps(result: CacheResult) -> int:
    return max((run.steps for run in result.runs), default=0)
