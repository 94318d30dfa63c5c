"""The shipped example runs open everywhere; those of a bundled model are what it computes today."""

from collections.abc import Iterator

import pytest

from tests import shipped_examples as shipped
from tests.labs import shipped_lab
from tokenarium.backend.runs.examples import FOLDER, declared, read
from tokenarium.backend.runs.kind import Example
from tokenarium.backend.runs.lab import Lab

KINDS = ("trace", "cache")
BUNDLED = [example for kind in KINDS for example in shipped.of(kind, bundled=True)]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as lab:
        yield lab


def test_every_declared_example_is_shipped_and_small(lab: Lab) -> None:
    for example in declared():
        assert read(example).request == example.request, shipped.REMEDY
        assert example in lab.examples(example.request.kind)
        files = [FOLDER / f"{example.slug}.{suffix}" for suffix in ("npz", "json")]
        assert sum(file.stat().st_size for file in files) < shipped.LARGEST_BYTES
    everything = [file for file in FOLDER.iterdir() if file.suffix in (".npz", ".json")]
    assert {file.stem for file in everything} == {example.slug for example in declared()}
    assert sum(file.stat().st_size for file in everything) < shipped.ALL_BYTES


@pytest.mark.parametrize(
    "example",
    [*shipped.of("trace", bundled=True), *shipped.of("trace", bundled=False)],
    ids=lambda example: example.slug,
)
def test_what_was_shipped_opens_without_its_model(example: Example, lab: Lab) -> None:
    run = lab.open(example.run_id)
    assert run.request == example.request
    assert run.cached
    assert run.result.token_text


@pytest.mark.parametrize("example", BUNDLED, ids=lambda example: example.slug)
def test_example_belongs_to_the_shipped_model(example: Example, lab: Lab) -> None:
    shipped.belongs_to_the_model(example, lab)


@pytest.mark.parametrize(
    "example", shipped.of("trace", bundled=True), ids=lambda example: example.slug
)
def test_example_is_what_the_code_computes(example: Example, lab: Lab) -> None:
    shipped.trace_is_computed_again(example, lab)
