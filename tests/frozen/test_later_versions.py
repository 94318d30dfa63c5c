"""A later version that measures one more quantity of every kind opens what earlier ones stored."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frozen.compare import described, flat
from tests.frozen.make import requested
from tests.frozen.test_frozen_store import FOLDERS, Frozen
from tests.runs.later import with_margin
from tokenarium.backend.runs.kind import KINDS

FOLDER = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def later(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Frozen]:
    """A frozen store as a later version opens it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for kind in {kind.result: kind for kind in KINDS.all()}.values():
            with_margin(kind, monkeypatch)
        frozen = Frozen(request.param, tmp_path_factory.mktemp("later"), hosted=False)
        yield frozen
        frozen.lab.close()


def _later(record: dict[str, Any]) -> set[str]:
    """Return the quantities that the version which stored a run did not measure."""
    known = KINDS.find(record["kind"]).result_class.quantities()
    version = record["environment"]["schema_version"]
    return {name for name, defined in known.items() if defined.since > version}


def test_every_run_opens_and_says_what_it_lacks(later: Frozen) -> None:
    for name, record, run in later.opened():
        assert set(run.missing) == _later(record), name
        assert "margin" in run.missing
        assert run.result.margin is None
        arrays = flat(run.result.arrays())
        for array, told in record["arrays"].items():
            assert described(arrays[array]) == told, (name, array)


def test_every_run_is_exported_without_what_it_lacks(later: Frozen) -> None:
    for name, record, _ in later.opened():
        told = json.loads(later.lab.export(record["id"], everything=True))
        assert set(told["missing"]) == _later(record), name
        assert set(told["definitions"]) - set(told["values"]) == _later(record)
        for format_ in ("csv", "parquet"):
            with zipfile.ZipFile(io.BytesIO(later.lab.export(record["id"], format_))) as tables:
                assert tables.namelist(), name


def test_examples_that_are_stored_are_still_offered(later: Frozen) -> None:
    for kind in KINDS.all():
        offered = later.lab.examples(kind.slug)
        assert tuple(sorted(offered, key=kind.examples.index)) == kind.examples


@FOLDER
def test_requests_of_that_time_have_the_key_of_their_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in {kind.result: kind for kind in KINDS.all()}.values():
        with_margin(kind, monkeypatch)
    frozen = Frozen(folder, tmp_path, hosted=False)
    with frozen.lab as lab:
        for name, record in frozen.runs.items():
            made = record["environment"]
            machine = [made["device"], made["device_name"]]
            machine += [f"{library} {v}" for library, v in sorted(made["versions"].items())]
            monkeypatch.setattr(
                "tokenarium.backend.runs.repository.timing_identity", lambda _, of=machine: of
            )
            request = requested(record["kind"], record["request"])
            key = lab._repository.key(request, record["fingerprint"])
            assert key == record["key"], f"{name} would be computed again"
