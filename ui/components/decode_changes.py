"""What lanes are written under: a constraint, a drafter, a policy, interventions; an answer."""

from typing import Any

import gradio as gr

from tokenarium.backend import DecodeRequest, Drafter, Intervention, Lab, Policy
from tokenarium.ui.components import constraint
from tokenarium.ui.components.choice import Choice
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import groups_of
from tokenarium.ui.shell.panel import Values, choice, number

UNITS = {"tokens": "tokens per head", "ratio": "share of the prompt", "megabytes": "MB"}


def build(controls: Controls, lab: Lab) -> None:
    """Make the choices, and their parameters."""
    constraint.build(controls, lab)
    policies = {one.slug: one for one in lab.methods(Policy)}
    changes = {one.slug: one for one in lab.methods(Intervention)}
    with gr.Row():
        controls.add(
            "answer",
            gr.Textbox(
                "", label="Right answer", max_lines=1, elem_id="answer", scale=2,
                info="Where the prompt has one: lanes then say whether they are right.",
            ),
        )  # fmt: skip
        controls.field(DecodeRequest, "trials")
    _build_drafter(controls, lab)
    with gr.Row():
        controls.add(
            "policy",
            Choice(
                [("full cache", ""), *((one.title, slug) for slug, one in policies.items())],
                value="", label="KV-cache policy", elem_id="policy", scale=2,
                info="Every lane but plain decoding is written under it; strategies that go back "
                "cannot be.",
            ),
        )  # fmt: skip
        controls.add("budget", gr.Number(64, label="Budget", minimum=0, elem_id="budget"))
        titles = [(title, name) for name, title in UNITS.items()]
        unit = gr.Dropdown(titles, value="tokens", label="Budget counts", elem_id="budget-unit")
        controls.add("budget_unit", unit)
    controls.form(
        "policy_parameters", lambda asked: groups_of(policies, asked["policy"]), ["policy"]
    )
    controls.add(
        "interventions",
        Choice(
            [(one.title, slug) for slug, one in changes.items()],
            value=[], label="Interventions", multiselect=True, max_choices=4,
            elem_id="interventions",
            info="Changed in every lane but plain decoding; the whole text is then read anew for "
            "every token.",
        ),
    )  # fmt: skip
    controls.form(
        "intervention_parameters",
        lambda asked: groups_of(changes, asked["interventions"]),
        ["interventions"],
    )


def _build_drafter(controls: Controls, lab: Lab) -> None:
    """Make the choice of what guesses ahead, and how far."""
    drafters = {one.slug: one for one in lab.methods(Drafter)}
    with gr.Row():
        controls.add(
            "drafter",
            Choice(
                [("none", ""), *((one.title, slug) for slug, one in drafters.items())],
                value="", label="Drafter", elem_id="drafter", scale=2,
                info="Guesses ahead in every lane but plain decoding: the texts stay, passes are "
                "saved where guesses are right.",
            ),
        )  # fmt: skip
        small = gr.Dropdown(
            [info.name for info in lab.models()],
            value=DecodeRequest.model_fields["draft_model"].default,
            label="Draft model", allow_custom_value=True, elem_id="draft-model",
            info="Where the drafter has one.",
        )  # fmt: skip
        controls.add("draft_model", small)
        for name in ("draft_len", "tree_budget"):
            controls.field(DecodeRequest, name)
    controls.form(
        "drafter_parameters", lambda asked: groups_of(drafters, asked["drafter"]), ["drafter"]
    )


def chosen(asked: Values) -> Values:
    """Return what a request says of them."""
    found: dict[str, Any] = {"constraint": constraint.chosen(asked)}
    found["answer"] = str(asked.get("answer") or "")
    found["trials"] = int(number(asked.get("trials"), 1, 64, 1)) if found["answer"] else 1
    if slug := asked.get("policy"):
        own = {"slug": slug, "parameters": asked["policy_parameters"].get(str(slug), {})}
        unit = choice(asked["budget_unit"], tuple(UNITS), "tokens")
        found |= {"policy": own, "budget": asked["budget"], "budget_unit": unit}
    if slug := asked.get("drafter"):
        own = {"slug": slug, "parameters": asked["drafter_parameters"].get(str(slug), {})}
        found |= {"drafter": own, "draft_model": str(asked["draft_model"])}
        found["draft_len"] = int(number(asked["draft_len"], 1, 32, 4))
        found["tree_budget"] = int(number(asked["tree_budget"], 1, 256, 16))
    several = asked.get("interventions")
    slugs = several if isinstance(several, list) else []
    told = asked.get("intervention_parameters", {})
    found["interventions"] = [
        {"slug": slug, "parameters": told.get(str(slug), {})} for slug in slugs
    ]
    return found


def again(request: DecodeRequest) -> Values:
    """Return the controls as a request has them."""
    own = request.policy
    there = own is not None
    return {
        **constraint.again(request),
        "answer": request.answer,
        "trials": request.trials,
        **_drafter_again(request),
        "policy": own.slug if own is not None else "",
        "policy_parameters": {own.slug: own.parameters} if own is not None else {},
        **({"budget": request.budget, "budget_unit": request.budget_unit} if there else {}),
        "interventions": [spec.slug for spec in request.interventions],
        "intervention_parameters": {spec.slug: spec.parameters for spec in request.interventions},
    }


def _drafter_again(request: DecodeRequest) -> Values:
    own = request.drafter
    if own is None:
        return {"drafter": "", "drafter_parameters": {}}
    shown = {name: getattr(request, name) for name in ("draft_model", "draft_len", "tree_budget")}
    return {**shown, "drafter": own.slug, "drafter_parameters": {own.slug: own.parameters}}
