"""What the interface and the documentation derive from declarations is really declared."""

import dataclasses
from importlib.util import module_from_spec, spec_from_file_location

import annotated_types
import pytest
from pydantic.fields import FieldInfo

from tokenarium.backend.runs.kind import KINDS, Kind, imported
from tokenarium.backend.runs.request import ModelRequest
from tokenarium.backend.settings import PROJECT, Settings

_GENERATE = spec_from_file_location("generate", PROJECT / "docs/generate.py")
assert _GENERATE is not None
assert _GENERATE.loader is not None
generate = module_from_spec(_GENERATE)
_GENERATE.loader.exec_module(generate)

# Kinds that tests themselves register are not part of the program.
OURS = [kind for kind in KINDS.all() if kind.compute.startswith("tokenarium.backend.")]
EVERY = pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.slug)


@EVERY
def test_every_field_of_a_request_has_description_and_bounds(kind: Kind) -> None:
    for name, field in kind.request.model_fields.items():
        assert field.description, f"{kind.slug}.{name} has no description"
        assert field.description.endswith("."), f"{kind.slug}.{name}: no sentence"
        assert _bounded(field), f"{kind.slug}.{name} has no bounds"


def _bounded(field: FieldInfo) -> bool:
    if field.annotation in (int, float):
        kinds = (annotated_types.Ge, annotated_types.Gt)
        return any(isinstance(limit, kinds) for limit in field.metadata)
    return True


@EVERY
def test_every_field_of_a_result_is_defined(kind: Kind) -> None:
    found = kind.result_class
    quantities = found.quantities()
    assert set(quantities) == {field.name for field in dataclasses.fields(found)}
    for name, defined in quantities.items():
        assert defined.title, name
        assert defined.meaning.endswith("."), name
        assert defined.formula or not defined.unit, name
        unit = {"nats": "nats", "nats2": "nats^2"}.get(name.rpartition("_")[2])
        assert unit in (None, defined.unit), name
    assert isinstance(found.schema_version, int)


@EVERY
def test_every_kind_says_what_it_is_and_has_what_it_names(kind: Kind) -> None:
    assert kind.title[0].isupper()
    assert kind.explanation.endswith(".")
    assert "\n" not in kind.explanation
    assert issubclass(kind.request, ModelRequest)
    assert kind.result_class.__name__.endswith("Result")
    assert callable(imported(kind.compute))
    for name in (kind.estimate, kind.upgrade):
        assert not name or callable(imported(name))
    assert all(type(example.request) is kind.request for example in kind.examples)


def test_the_kinds_of_runs_are_those_known() -> None:
    assert {kind.slug for kind in OURS} >= {
        "trace",
        "region",
        "intervention",
        "probe",
        "heartbeat",
        "follow",
        "sweep",
        "point",
        "cache",
        "speculate",
        "tokenize",
        "next_byte",
        "decode",
    }


@pytest.mark.parametrize("name", generate.TABLES)
def test_tables_of_the_documents_are_those_declared(name: str) -> None:
    assert generate.shown(name) == generate.TABLES[name][1](), "write it: python docs/generate.py"


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_option_is_in_the_documents(name: str) -> None:
    assert Settings.model_fields[name].description
    assert f"| `--{name.replace('_', '-')}` | `TOKENARIUM_{name.upper()}` | " in generate.options()
