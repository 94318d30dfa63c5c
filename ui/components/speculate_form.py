"""What the controls of the Speculate page ask for, and how a stored run fills them."""

from tokenarium.backend import Lab, SpeculateRequest
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
