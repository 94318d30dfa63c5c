"""What an earlier version stored can be read: every ``v*/`` is a store as that version left it.

Only what is recorded is compared, so that later versions may add fields. ``-m slow`` computes
everything again.
"""

import json
import lzma
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.frozen.compare import Arrays, described, equal, flat, load, recorded, unlike, without
from tests.frozen.make import Lab, Run, UserError, processor, requested, settings, versions
from tokenarium.backend.runs.examples import declared

HERE = Path(__file__).parent
FOLDERS = sorted((f for f in HERE.glob("v*") if f.is_dir()), key=lambda f: int(f.name[1:]))
MOST_BYTES = 6 * 2**20

TOLERANCES = {"float32": (1e-3, 1e-4), "float16": (1e-2, 1e-3), "bfloat16": (5e-2, 2e-2)}
"""Of another processor's numbers: relative and absolute, by the number format of the weights."""
SAME_VALUES = {"float32": 0.96, "float16": 0.9, "bfloat16": 0.8}
"""Least share of an array's values that must agree: rounding may swap two that are nearly equal."""
ROUNDED_FACTS = {"audit", "choice_text", "top_text", "lens_text"}
"""Facts that spell out such values."""


class Frozen:
    """A frozen store, copied, and what is recorded of it."""

    def __init__(self, source: Path, folder: Path, *, hosted: bool) -> None:
        self.told = recorded(source)
        self.runs: dict[str, dict[str, Any]] = self.told["runs"]
        self.visitor: str = self.told["visitor"]
        database = folder / "runs.duckdb"
        database.write_bytes(lzma.decompress((source / "runs.duckdb.xz").read_bytes()))
        self.lab = Lab(settings(database, hosted=hosted))

    def opened(self) -> Iterator[tuple[str, dict[str, Any], Run]]:
        """Yield name, record and run of each that is still the one recorded."""
        for name, record in self.runs.items():
            run = self.lab.open(record["id"], visitor=self.visitor)
            if run.created.isoformat() == record["created"]:
                yield name, record, run
            else:
                assert name.startswith("example-"), "examples alone are replaced by newer ones"


def _frozen(source: Path, factory: pytest.TempPathFactory, *, hosted: bool) -> Iterator[Frozen]:
    frozen = Frozen(source, factory.mktemp(source.name), hosted=hosted)
    yield frozen
    frozen.lab.close()


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def own(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Frozen]:
    """A store opened on one's own machine."""
    yield from _frozen(request.param, tmp_path_factory, hosted=False)


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def hosted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Frozen]:
    """The same in public mode."""
    yield from _frozen(request.param, tmp_path_factory, hosted=True)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_frozen_folder_is_small(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.iterdir()) < MOST_BYTES


def test_frozen_store_has_runs_of_every_kind(own: Frozen) -> None:
    kinds = {record["kind"] for record in own.runs.values()}
    assert kinds >= {
        *("trace", "region", "probe", "intervention", "heartbeat", "follow"),
        *("cache", "sweep", "point", "speculate"),
    }


def test_search_lists_every_run_that_one_may_see(own: Frozen, hosted: Frozen) -> None:
    shared = {record["id"] for record in own.runs.values() if not record["owner"]}
    everything = {record["id"] for record in own.runs.values()}
    assert shared < everything
    visitor = hosted.visitor
    for lab, options, ids in (
        (own.lab, {}, shared),
        (hosted.lab, {"visitor": "somebody else"}, shared),
        (hosted.lab, {"visitor": visitor}, everything),
    ):
        found = {record.id for record in lab.search(limit=1000, **options)}
        assert ids <= found
        assert not found & (everything - ids)


def test_search_tells_of_every_run_what_it_was(hosted: Frozen) -> None:
    found = {r.id: r for r in hosted.lab.search(visitor=hosted.visitor, limit=1000)}
    shipped = {example.run_id for example in declared()}
    for name, record in hosted.runs.items():
        row = found[record["id"]]
        assert (row.kind, row.owner, row.pinned) == (
            record["kind"],
            record["owner"],
            record["pinned"],
        ), name
        if record["id"] in shipped:  # a shipped run gives way to the newer one
            continue
        assert row.model == record["request"]["model"], name
        assert row.text == record["request"].get("text", row.text), name


def test_open_gives_every_array_bit_for_bit(own: Frozen) -> None:
    for name, record, run in own.opened():
        arrays = flat(run.result.arrays())
        assert record["arrays"]
        for array, told in record["arrays"].items():
            assert described(arrays[array]) == told, (name, array)


def test_open_gives_facts_request_and_environment(own: Frozen) -> None:
    for name, record, run in own.opened():
        for part, value in (
            ("facts", run.result.facts()),
            ("request", run.request.model_dump(mode="json")),
            ("environment", run.environment),
        ):
            plain = json.loads(json.dumps(value))
            assert list(unlike(record[part], plain, part, more_allowed=True)) == [], name
        assert run.request.kind == record["kind"]


def test_open_hides_whose_a_run_is_from_others(hosted: Frozen) -> None:
    (record,) = (each for each in hosted.runs.values() if each["owner"])
    assert hosted.lab.open(record["id"], visitor=hosted.visitor).owner == hosted.visitor
    seen = hosted.lab.open(record["id"], visitor="somebody else")
    assert seen.owner not in ("", hosted.visitor)
    with pytest.raises(UserError, match="not yours"):
        hosted.lab.delete(record["id"], visitor="somebody else")


def test_export_says_the_same(own: Frozen) -> None:
    for name, record, run in own.opened():
        told = json.loads(own.lab.export(record["id"], everything=True))
        assert (told["id"], told["kind"]) == (record["id"], record["kind"])
        assert list(unlike(record["request"], told["request"], name, more_allowed=True)) == []
        values = told["values"]
        facts = unlike(record["facts"], values, name, _same_exported, more_allowed=True)
        assert list(facts) == []
        arrays = flat(run.result.arrays())
        for array in record["arrays"]:
            table, _, column = array.partition(".")
            value = values[table][column] if column else values[table]
            stored = arrays[array].astype(np.float64)
            exported = np.array(value, np.float64).reshape(stored.shape)
            if arrays[array].dtype.kind == "f":
                exported = exported.astype(arrays[array].dtype).astype(np.float64)
            stored[~np.isfinite(stored)] = np.nan
            np.testing.assert_array_equal(exported, stored, f"{name}: {array}")


def _same_exported(stored: Any, exported: Any) -> bool:
    if isinstance(stored, float) and not math.isfinite(stored):
        return exported is None
    return equal(stored, exported)


def test_query_reads_runs_tokens_and_heads(own: Frozen) -> None:
    for name, record, run in own.opened():
        for table, rows in record["tables"].items():
            where = f"FROM {table} WHERE run_id = '{record['id']}'"
            (counted,) = own.lab.query(f"SELECT count(*) AS n {where}").to_pylist()
            assert counted["n"] == rows > 0, (name, table)
        if record["kind"] == "trace":
            found = own.lab.query(
                "SELECT token_id, surprisal_nats FROM runs JOIN tokens ON run_id = id "
                f"WHERE id = '{record['id']}' ORDER BY position"
            ).to_pydict()
            assert found["token_id"] == run.result.token_ids.tolist(), name
            np.testing.assert_array_equal(
                np.array(found["surprisal_nats"], np.float32), run.result.surprisal_nats, name
            )


def test_query_of_a_visitor_sees_shared_runs_alone(hosted: Frozen) -> None:
    found = set(hosted.lab.query("SELECT id FROM runs").to_pydict()["id"])
    owned = {record["id"] for record in hosted.runs.values() if record["owner"]}
    assert owned
    assert not found & owned
    assert found >= {record["id"] for record in hosted.runs.values()} - owned


def test_stored_request_has_the_same_meaning_today(own: Frozen) -> None:
    for name, record in own.runs.items():
        request = requested(record["kind"], record["request"])
        plain = request.model_dump(mode="json")
        assert list(unlike(record["request"], plain, name, more_allowed=True)) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_computing_again_gives_the_same(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bit for bit on the same processor and libraries, within the tolerances on others."""
    newest = FOLDERS[-1]
    told = recorded(newest)
    again = tmp_path / "again"
    command = [sys.executable, "-m", "tests.frozen.make", str(again)]
    subprocess.run(
        command,
        check=True,
        cwd=HERE.parent.parent,
        env=os.environ
        | {"OMP_NUM_THREADS": str(told["made"]["threads"]), "OMP_WAIT_POLICY": "passive"},
    )
    computed = json.loads((again / "runs.json").read_text("utf-8"))["runs"]
    made = told["made"]
    if (made["processor"], made["versions"]) == (processor(), versions()):
        wrong = [
            line
            for name, record in told["runs"].items()
            if not name.startswith("example-")
            for line in _other_bits(name, record, computed[name], _timings(told, record))
        ]
        assert wrong == []
        return
    frozen = Frozen(newest, tmp_path_factory.mktemp("recorded"), hosted=False)
    with frozen.lab:
        wrong = [
            f"{name}: {line}"
            for name, record, run in frozen.opened()
            if not name.startswith("example-")
            for line in _far_off(
                record,
                flat(run.result.arrays()),
                load(again / f"{name}.npz"),
                _timings(told, record),
            )
            + _other_facts(record, computed[name], _timings(told, record))
        ]
    assert wrong == []


def _timings(told: dict[str, Any], record: dict[str, Any]) -> set[str]:
    return set(told["not_deterministic"].get(record["kind"], ()))


def _other_bits(
    name: str, old: dict[str, Any], new: dict[str, Any], left_out: set[str]
) -> list[str]:
    return [
        line
        for part in ("facts", "arrays")
        for line in unlike(
            without(old[part], left_out), new[part], f"{name}: {part}", more_allowed=True
        )
    ]


def _far_off(record: dict[str, Any], old: Arrays, new: Arrays, left_out: set[str]) -> list[str]:
    dtype = record["request"]["dtype"]
    relative, absolute = TOLERANCES[dtype]
    found = []
    for name in record["arrays"]:
        one, other = old[name], new[name]
        if (one.dtype, one.shape) != (other.dtype, other.shape):
            found.append(f"{name} is {other.dtype} {other.shape}, not {one.dtype} {one.shape}")
        elif name not in left_out and one.size:
            near = (
                np.isclose(other, one, relative, absolute, equal_nan=True)
                if one.dtype.kind == "f"
                else one == other
            )
            if near.mean() < SAME_VALUES[dtype]:
                found.append(f"{name}: {np.mean(near):.3f} of the values are near")
    return found


def _other_facts(old: dict[str, Any], new: dict[str, Any], left_out: set[str]) -> list[str]:
    relative, absolute = TOLERANCES[old["request"]["dtype"]]

    def near(one: Any, other: Any) -> bool:
        if isinstance(one, float) and isinstance(other, float) and math.isfinite(one):
            return math.isclose(one, other, rel_tol=relative, abs_tol=absolute)
        return equal(one, other)

    facts = without(old["facts"], left_out | ROUNDED_FACTS)
    return list(unlike(facts, new["facts"], "facts", near, more_allowed=True))
