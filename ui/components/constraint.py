"""What a decoded text must keep: the choice, its parameters, and what a request says of them."""

from typing import Any

from tokenarium.backend import DecodeRequest, Lab
from tokenarium.ui.components.choice import Choice
from tokenarium.ui.shell.controls import Controls
from tokenarium.ui.shell.methods import groups_of
from tokenarium.ui.shell.panel import Values


def build(controls: Controls, lab: Lab) -> None:
    """Make the choice of a constraint, and its parameters."""
    known = {one.slug: one for one in lab.methods("constraint")}
    controls.add(
        "constraint",
        Choice(
            [("none", ""), *((one.title, slug) for slug, one in known.items())],
            value="",
            label="Constraint",
            info="What the new text must keep, from its first character on, a space included; "
            "strategies that do not follow one write as ever.",
            elem_id="constraint",
        ),
    )
    controls.form(
        "constraint_parameters",
        lambda asked: groups_of(known, asked["constraint"]),
        ["constraint"],
    )


def chosen(asked: Values) -> dict[str, Any] | None:
    """Return the chosen constraint as a request takes it."""
    slug = asked["constraint"]
    if not slug:
        return None
    return {"slug": slug, "parameters": asked["constraint_parameters"].get(str(slug), {})}


def again(request: DecodeRequest) -> Values:
    """Return the controls as a request has them."""
    own = request.constraint
    if own is None:
        return {"constraint": "", "constraint_parameters": {}}
    return {"constraint": own.slug, "constraint_parameters": {own.slug: own.parameters}}
