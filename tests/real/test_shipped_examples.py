"""The shipped runs of the default model are what it computes today."""

import pytest

from tests import shipped_examples as shipped
from tokenarium.backend.runs.kind import Example
from tokenarium.backend.runs.lab import Lab

KINDS = ("trace", "cache", "sweep")
DEFAULT = [example for kind in KINDS for example in shipped.of(kind, bundled=False)]


@pytest.mark.parametrize("example", DEFAULT, ids=lambda example: example.slug)
def test_example_belongs_to_the_default_model(example: Example, lab: Lab) -> None:
    shipped.belongs_to_the_model(example, lab)


@pytest.mark.parametrize("example", shipped.of("trace", bundled=False), ids=lambda e: e.slug)
def test_trace_is_what_the_code_computes(example: Example, lab: Lab) -> None:
    shipped.trace_is_computed_again(example, lab)


@pytest.mark.parametrize("example", shipped.of("cache", bundled=False), ids=lambda e: e.slug)
def test_cache_run_is_what_the_code_computes(example: Example, lab: Lab) -> None:
    shipped.cache_run_is_computed_again(example, lab)


@pytest.mark.parametrize("example", shipped.of("new_tokens", bundled=False), ids=lambda e: e.slug)
def test_new_tokens_cost_what_the_code_computes(example: Example, lab: Lab) -> None:
    shipped.new_tokens_are_computed_again(example, lab)
