"""What the controls of the Speculate page ask for, and how a stored run fills them."""

from collections.abc import Mapping

from tokenarium.backend import Drafter, DrafterSpec, Lab, SpeculateRequest, earlier_tokens
from tokenarium.ui.components.form import Group
from tokenarium.ui.components.turns import given, shown_again
from tokenarium.ui.shell.panel import Values, number

SAMPLING = (
    "seed",
    "dtype",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "stop",
    "vocabularies",
    "engine",
)
"""Parameters of the request that only some visitors change."""
PLAIN = ("model", "draft_model", "draft_len", "tree_budget", "temperature", "max_new_tokens")
FORM = Group("sampling", SpeculateRequest, SAMPLING)
USUAL = {"drafter": "prompt_lookup", "rule": "greedy"}
"""Guesses from the text itself: they fit any model, a small one must have the same tokens."""


def speculate_request(lab: Lab, asked: Values) -> SpeculateRequest:
    """Return the request that the controls of the page stand for.

    Raises:
        UserError: naming each value that is out of range.
    """
    values = {name: asked[name] for name in PLAIN}
    for name in ("draft_len", "tree_budget", "max_new_tokens"):
        values[name] = int(number(values[name], 0, 1e6, 0))
    told = asked["parameters"]
    methods_of = {
        name: {"slug": asked[name], "parameters": told.get(str(asked[name]), {})}
        for name in ("drafter", "rule")
    }
    return lab.request(
        SpeculateRequest,
        **given(asked["text"], asked["turns"]),
        **values,
        **methods_of,
        **asked["sampling"]["sampling"],
    )


def with_earlier(lab: Lab, request: SpeculateRequest, visitor: str) -> SpeculateRequest:
    """Return the request with the visitor's earlier texts, where its drafter takes any."""
    drafter = request.drafter
    if drafter.parameters.get("tokens") != []:
        return request
    found = earlier_tokens(lab, request.model, visitor=visitor)
    spec = DrafterSpec(slug=drafter.slug, parameters={**drafter.parameters, "tokens": list(found)})
    return request.model_copy(update={"drafter": spec})


def asked_again(request: SpeculateRequest) -> Values:
    """Return the controls, by name, as a stored run was asked for."""
    drafter, rule = request.drafter, request.rule
    return {
        **{name: getattr(request, name) for name in PLAIN},
        **shown_again(request),
        "drafter": drafter.slug,
        "rule": rule.slug,
        "parameters": {drafter.slug: drafter.parameters, rule.slug: rule.parameters},
        "sampling": {FORM.slug: {name: getattr(request, name) for name in SAMPLING}},
    }


def for_model(
    drafters: Mapping[str, type[Drafter]], model: str, filled: Values, offered: Values
) -> Values:
    """Return the controls for a model: ``filled``, or for another model what guesses for any.

    Args:
        drafters: by slug.
        model: that the visitor wants.
        filled: the controls of an example.
        offered: what the page offers for the drafter and rule that need no second model.
    """
    bound = ("draft_model", "target_states")
    alone = [each.slug for each in drafters.values() if each.source not in bound]
    racers = {"racers": alone[:2]}
    if filled["model"] == model:
        return racers if filled["drafter"] in alone else {}
    return {
        **USUAL,
        **offered,
        "model": model,
        "temperature": 0.0,
        "parameters": {slug: {} for slug in USUAL.values()},
        **racers,
    }
