"""What the interface and the documentation derive from declarations is really declared."""

import dataclasses
from importlib import import_module

import annotated_types
import pytest
from pydantic.fields import FieldInfo

import tokenarium.backend.benchmark.sweep.request
import tokenarium.backend.cache.request
import tokenarium.backend.follow.request
import tokenarium.backend.heartbeat.request
import tokenarium.backend.interventions.request
import tokenarium.backend.probe.request
import tokenarium.backend.region.request
import tokenarium.backend.runs.lab
import tokenarium.backend.trace.request  # noqa: F401
from tokenarium.backend.cache.catalogue import BEGIN, END, methods_table
from tokenarium.backend.runs.request import ModelRequest, Request
from tokenarium.backend.runs.serialization import imported, result_class
from tokenarium.backend.settings import PROJECT, Settings
from tokenarium.backend.speculation import catalogue as speculation

# Kinds that tests themselves register are not part of the program.
REQUESTS = [
    kind for kind in Request._kinds.values() if kind.__module__.startswith("tokenarium.backend.")
]


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.kind)
def test_every_field_of_a_request_has_description_and_bounds(kind: type[Request]) -> None:
    for name, field in kind.model_fields.items():
        assert field.description, f"{kind.__name__}.{name} has no description"
        assert field.description.endswith("."), f"{kind.__name__}.{name}: no sentence"
        assert _bounded(field), f"{kind.__name__}.{name} has no bounds"


def _bounded(field: FieldInfo) -> bool:
    if field.annotation in (int, float):
        kinds = (annotated_types.Ge, annotated_types.Gt)
        return any(isinstance(limit, kinds) for limit in field.metadata)
    return True


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.kind)
def test_every_field_of_a_result_is_defined(kind: type[Request]) -> None:
    result = import_module(kind.result_class.partition(":")[0])
    found = getattr(result, kind.result_class.partition(":")[2])
    quantities = found.quantities()
    assert set(quantities) == {field.name for field in dataclasses.fields(found)}
    for name, defined in quantities.items():
        assert defined.title, name
        assert defined.meaning.endswith("."), name
        assert defined.formula or not defined.unit, name
        unit = {"nats": "nats", "nats2": "nats^2"}.get(name.rpartition("_")[2])
        assert unit in (None, defined.unit), name
    assert isinstance(found.schema_version, int)


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.kind)
def test_every_request_has_a_runner_and_a_result(kind: type[Request]) -> None:
    assert callable(imported(kind.runner))
    assert result_class(kind.model_construct()).__name__.endswith("Result")


def test_the_kinds_of_runs_are_those_known() -> None:
    assert {kind.kind for kind in REQUESTS} >= {
        "trace",
        "region",
        "intervention",
        "probe",
        "heartbeat",
        "follow",
        "sweep",
        "cache",
        "speculate",
    }
    assert all(issubclass(kind, ModelRequest) for kind in REQUESTS)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_option_is_in_the_readme_as_it_is_declared(name: str) -> None:
    declared = Settings.model_fields[name]
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    option = f"| `--{name.replace('_', '-')}` | `TOKENARIUM_{name.upper()}` | "
    [row] = [line for line in readme.splitlines() if line.startswith(option)]
    assert declared.description
    assert row.endswith(f"| {declared.description} |")
    if isinstance(declared.default, int | float | str) and declared.default_factory is None:
        assert f"| `{declared.default}` |" in row


def test_drafters_and_rules_in_the_readme_are_those_registered() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = readme.split(speculation.BEGIN)[1].split(speculation.END)[0].strip()
    assert shown == speculation.catalogue(), (
        "print them: python -m tokenarium.backend.speculation.catalogue"
    )


def test_the_policies_in_the_readme_are_those_registered() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    shown = readme.split(BEGIN)[1].split(END)[0].strip()
    assert shown == methods_table(), (
        "print the new table: python -m tokenarium.backend.cache.catalogue"
    )
