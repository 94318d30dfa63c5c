"""Parameters of policies: drawn from declarations, read back into them, presets that are valid."""

from typing import Any

import gradio as gr
import pytest

from tokenarium.backend import Lab, Policy
from tokenarium.ui.components.policies import PolicyParameters

POLICIES = Lab.methods(Policy)


@pytest.fixture(scope="module")
def drawn() -> tuple[PolicyParameters, gr.Blocks]:
    with gr.Blocks() as blocks:
        parameters = PolicyParameters(POLICIES, ["h2o"])
    return parameters, blocks


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.slug)
def test_untouched_controls_are_the_defaults(policy: type[Policy], drawn: Any) -> None:
    parameters, _ = drawn
    told = parameters.read([component.value for component in parameters.inputs])
    assert policy.model_validate(told[policy.slug]) == policy()


def test_stored_parameters_fill_the_controls_and_are_read_back(drawn: Any) -> None:
    parameters, _ = drawn
    stored = {"streaming_llm": {"sink": 7, "positions": "original", "reduction": "max"}}
    told = parameters.read(parameters.fill(stored))
    assert told["streaming_llm"] == stored["streaming_llm"]
    assert told["h2o"] == parameters.read(parameters.fill({}))["h2o"]


def test_only_chosen_policies_are_seen(drawn: Any) -> None:
    parameters, _ = drawn
    seen = [
        policy.slug
        for policy, group in zip(POLICIES, parameters.groups, strict=True)
        if group.visible
    ]
    assert seen == ["h2o"]
    later = parameters.seen(["tova", "full"])
    assert [p.slug for p, g in zip(POLICIES, later, strict=True) if g["visible"]] == [
        "full",
        "tova",
    ]
    assert not any(group["visible"] for group in parameters.seen("tova"))


def test_wrappers_offer_what_they_can_wrap(drawn: Any) -> None:
    parameters, _ = drawn
    dropdowns = [c for c in parameters.inputs if c.label == "Base"]
    wrappers = [policy for policy in POLICIES if "base" in policy.model_fields]
    assert len(dropdowns) == len(wrappers) == 2
    for dropdown, policy in zip(dropdowns, wrappers, strict=True):
        assert isinstance(dropdown, gr.Dropdown)
        for _, slug in dropdown.choices:
            assert policy.model_validate({"base": slug})


@pytest.mark.parametrize(
    "policy", [p for p in POLICIES if p.published], ids=lambda policy: policy.slug
)
def test_the_papers_values_are_a_preset(policy: type[Policy], drawn: Any) -> None:
    parameters, blocks = drawn
    presets = [
        fn.fn()
        for fn in blocks.fns.values()
        if fn.targets
        and blocks.blocks[fn.targets[0][0]].value == "Paper's values"
        and fn.outputs[0] in parameters.inputs
        and _of(parameters, fn.outputs) == policy.slug
    ]
    (values,) = presets
    values = values if isinstance(values, list) else [values]
    names = list(parameters.fill({}))
    assert len(values) <= len(names)
    at = parameters.inputs.index(
        next(c for c in parameters.inputs if _owner(parameters, c) == policy.slug)
    )
    every = parameters.fill({})
    every[at : at + len(values)] = values
    told = policy.model_validate(parameters.read(every)[policy.slug])
    for name, value in policy.published.items():
        assert getattr(told, name) == value


def _owner(parameters: PolicyParameters, component: Any) -> str:
    groups = zip(POLICIES, parameters.groups, strict=True)
    parents = set()
    while component is not None:
        parents.add(id(component))
        component = component.parent
    return next(policy.slug for policy, group in groups if id(group) in parents)


def _of(parameters: PolicyParameters, outputs: Any) -> str:
    return _owner(parameters, outputs[0])
