"""Parameters of methods: drawn from declarations, read back into them, presets that are valid."""

from typing import Any

import pytest

from tokenarium.backend import Drafter, Lab, Policy, Rule
from tokenarium.ui.components.form import form_value, read_form
from tokenarium.ui.shell.methods import groups_of

METHODS = {
    method.slug: method for family in (Policy, Drafter, Rule) for method in Lab.methods(family)
}
POLICIES = Lab.methods(Policy)
each = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def drawn(*slugs: str, **values: Any) -> Any:
    groups = groups_of(METHODS, list(slugs))
    return groups, form_value(groups, values)


@each
def test_untouched_controls_are_the_defaults(method: Any) -> None:
    told = read_form(*drawn(method.slug))
    assert method.model_validate(told[method.slug]) == method()


@each
def test_only_the_chosen_methods_are_sent(method: Any) -> None:
    _, value = drawn(method.slug)
    assert [group["slug"] for group in value["groups"]] == [method.slug]
    assert method.explanation in value["groups"][0]["text"]


def test_a_methods_own_parameters_stand_before_those_of_all() -> None:
    _, value = drawn("streaming_llm")
    names = [field["name"] for field in value["groups"][0]["fields"]]
    assert names.index("sink") < names.index("positions")


def test_stored_parameters_fill_the_controls_and_are_read_back() -> None:
    stored = {"sink": 7, "positions": "original", "reduction": "max"}
    told = read_form(*drawn("streaming_llm", "h2o", streaming_llm=stored))
    assert told["streaming_llm"] == stored
    assert told["h2o"] == read_form(*drawn("h2o"))["h2o"]


@pytest.mark.parametrize("chosen", [None, 3, [], "no such", [3, None], {"a": 1}])
def test_a_choice_of_none_has_no_parameters(chosen: object) -> None:
    assert groups_of(METHODS, chosen) == []


def test_wrappers_offer_what_they_can_wrap() -> None:
    wrappers = [policy for policy in POLICIES if "base" in policy.model_fields]
    assert len(wrappers) == 2
    for policy in wrappers:
        _, value = drawn(policy.slug)
        (field,) = (f for f in value["groups"][0]["fields"] if f["name"] == "base")
        assert field["type"] == "choice"
        for slug in field["choices"]:
            assert policy.model_validate({"base": slug})


@pytest.mark.parametrize("policy", [p for p in POLICIES if p.published], ids=lambda p: p.slug)
def test_the_papers_values_are_a_preset(policy: type[Policy]) -> None:
    (group,), value = drawn(policy.slug)
    presets = value["groups"][0]["presets"]
    assert list(presets) == ["Scaled defaults", "Paper's values"]
    for said, preset in presets.items():
        for field in value["groups"][0]["fields"]:
            field["value"] = preset.get(field["name"], field["value"])
        told = policy.model_validate(read_form([group], value)[policy.slug])
        wanted = policy.published if said == "Paper's values" else {}
        for name, number in wanted.items():
            assert getattr(told, name) == number
        assert wanted or told == policy()
