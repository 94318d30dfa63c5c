"""One lane more: a policy chooses what is kept, forms such as fewer bits follow."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from tokenarium.backend import CacheRequest, Policy
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import choice_of
from tokenarium.ui.shell.panel import Values, number

FORMS = ("reshape", "quantise")
"""What a policy that can follow another one really does, in the order in which they follow."""


def build_recipe(controls: Controls, policies: Sequence[type[Policy]]) -> None:
    """Make the choice of what a recipe begins with and what follows, and of the prompt's parts."""
    forms = [policy for policy in policies if policy.label in FORMS]
    with gr.Row():
        first = choice_of(
            [policy for policy in policies if policy.label not in FORMS],
            "snapkv",
            "Recipe: first",
            info="Chooses what is kept, as one lane more.",
            elem_id="recipe-first",
        )
        controls.add("recipe_first", first)
        then = choice_of(
            forms,
            [],
            "Recipe: then",
            multiselect=True,
            info="In what form that is stored; empty for no recipe.",
            elem_id="recipe-then",
        )
        controls.add("recipe_then", then)
        parts = gr.Number(
            0,
            label="Prompt in parts of, tokens",
            info="After each a policy drops, or later ones read what it selects; 0 for whole.",
            minimum=0,
            precision=0,
            elem_id="prompt-chunk",
        )
        controls.add("prompt_chunk", parts)


def parts_of(asked: Values) -> Values:
    """Return how many tokens of the prompt are read at once, None for all, as a request's field."""
    return {"prompt_chunk": int(number(asked["prompt_chunk"], -1_000_000, 1_000_000, 0)) or None}


def specs_of(asked: Values) -> list[Any]:
    """Return the policies that the page's controls choose, each with its parameters."""
    chosen = asked["policies"] if isinstance(asked["policies"], list) else []
    specs: list[Any] = [_spec(asked, slug) for slug in chosen]
    if recipe := _recipe(asked):
        specs.append([_spec(asked, slug) for slug in recipe])
    return specs


def slugs_of(asked: Values) -> list[str]:
    """Return what is chosen, alone or in a recipe."""
    chosen = asked["policies"] if isinstance(asked["policies"], list) else []
    return [*chosen, *_recipe(asked)]


def filled(request: CacheRequest) -> Values:
    """Return the controls as a request has its policies and parts; of several recipes the last."""
    specs = request.policies
    recipe = next((spec for spec in reversed(specs) if spec.then), None)
    every = [one for spec in specs for one in (spec, *spec.then)]
    return {
        "policies": [spec.slug for spec in specs if not spec.then],
        "prompt_chunk": request.prompt_chunk or 0,
        "recipe_first": recipe.slug if recipe else "snapkv",
        "recipe_then": [spec.slug for spec in recipe.then] if recipe else [],
        "parameters": {spec.slug: spec.parameters for spec in every},
    }


def _recipe(asked: Values) -> list[str]:
    first, then = asked.get("recipe_first"), asked.get("recipe_then")
    if not isinstance(first, str) or not isinstance(then, list) or not then:
        return []
    return [first, *sorted(map(str, then), key=_place)]


def _place(slug: str) -> int:
    """Return where a form stands in a recipe, whatever was clicked first."""
    known = {
        policy.slug: FORMS.index(policy.label)
        for policy in Policy.registry.all()
        if policy.label in FORMS
    }
    return known.get(slug, 0)


def _spec(asked: Values, slug: object) -> dict[str, Any]:
    return {"slug": slug, "parameters": asked["parameters"].get(str(slug), {})}
