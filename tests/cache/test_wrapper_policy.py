"""Policies that take another's scores, with parameters of that other."""

import pytest

from tests.cache.policies.conftest import kept, tiny
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import PolicySpec
from tokenarium.backend.cache.wrapper_policy import Wrapper, bases

__all__ = ["tiny"]

WRAPPERS = [kind for kind in Policy.registry.all() if issubclass(kind, Wrapper)]
EVERY = pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda kind: kind.slug)


@EVERY
def test_the_schema_lists_every_policy_that_can_be_wrapped(wrapper) -> None:
    allowed = wrapper.model_json_schema()["properties"]["base"]["enum"]
    assert tuple(allowed) == bases()
    assert {"h2o", "snapkv", "pyramidkv", "keydiff", "knorm", "tova", "random"} <= set(allowed)
    assert not {"full", "adakv", "kvcrush", "token_select", "sirllm"} & set(allowed)


@EVERY
@pytest.mark.parametrize("base", bases())
def test_every_base_is_run_with_its_parameters(tiny, wrapper, base: str) -> None:
    pair = tiny()
    sequence = pair.under(wrapper.slug, 20, pair.prompt(61), base=base)
    layers = kept(sequence)
    assert sum(len(head) for heads in layers for head in heads) == 40 * len(layers)
    given = PolicySpec(wrapper.slug, base=base).policy
    assert type(given.inner) is Policy.registry.find(base)


def test_parameters_of_the_base_are_those_it_runs_with(tiny) -> None:
    """Without stand-ins, and heads of a layer alike, a wrapper is its base."""
    pair = tiny()
    ids = pair.prompt(61)
    given = {"window": 7, "kernel": 3}
    wrapped = pair.under(
        "adakv", 20, ids, base="snapkv", floor=1, base_parameters=given, reduction="max"
    )
    alone = pair.under("snapkv", 20, ids, **given, reduction="max")
    plain = pair.under("snapkv", 20, ids)
    assert kept(wrapped) == kept(alone) != kept(plain)


@EVERY
def test_the_same_question_has_the_same_parameters(wrapper) -> None:
    named = PolicySpec(wrapper.slug, base="h2o", base_parameters={"recent_share": 0.5})
    assert named == PolicySpec(wrapper.slug, base="h2o")
    assert named.parameters["base_parameters"] == {"recent_share": 0.5}
    typed = PolicySpec(wrapper.slug, base="h2o", base_parameters={"recent_share": "0.25"})
    assert typed.parameters["base_parameters"] == {"recent_share": 0.25}


@EVERY
@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"recent_share": 2}, "base_parameters of h2o: recent_share=2"),
        ({"colour": "red"}, "base_parameters of h2o: colour='red'"),
        ({"reduction": "max"}, "base_parameters has reduction='max'.*set reduction of "),
        ({"positions": "rolled"}, "base_parameters has positions='rolled'.*set positions of "),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_the_base_does_not_take_is_refused_by_name(wrapper, parameters, said) -> None:
    with pytest.raises(ValueError, match=said):
        PolicySpec(wrapper.slug, base="h2o", base_parameters=parameters)
