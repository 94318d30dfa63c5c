"""Today's behaviour in files: ``python -m tests.frozen.make FOLDER``.

FOLDER, which must be empty or new, gets ``runs.duckdb`` with the answers to
``tests.frozen.questions``, computed afresh on the CPU, ``NAME.npz`` with the arrays of each, and
``runs.json`` with the rest. ``--freeze tests/frozen/vN`` also keeps the store and ``runs.json``,
for later versions to read. Two outputs are compared by ``python -m tests.frozen.compare``.
It takes 30 s; on a busy machine ``OMP_WAIT_POLICY=passive`` saves most of the waiting.
"""

import argparse
import json
import lzma
import os
import shutil
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.frozen.compare import Arrays, described, flat
from tests.frozen.questions import EXAMPLES, OWNED, PINNED, QUESTIONS, VISITOR
from tokenarium.backend import Lab, ModelRequest, Run, Settings, UserError

__all__ = ["Lab", "Run", "UserError", "processor", "requested", "settings", "versions"]
"""For the tests: the project's names are imported in this one place."""

THREADS = 2
"""Sums are split between threads, so that their number decides the last bits."""

_CACHE = ["prefill_ms", "step_ms"]
NOT_DETERMINISTIC = {
    "cache": _CACHE,
    "point": _CACHE,
    "sweep": ["prefill_ms", "step_ms_p50", "step_ms_p90"],
    "speculate": [
        *("prefill_ms", "plain_step_ms"),
        *("rounds.draft_ms", "rounds.verify_ms", "rounds.other_ms", "rounds.explain_ms"),
    ],
}
"""Arrays and facts that differ from one computation to the next, by kind: all are times."""


def requested(kind: str, values: dict[str, Any]) -> ModelRequest:
    """Return the request of a kind with the values that it was stored with."""
    request = {known.slug: known.request for known in Lab.kinds()}[kind]
    return request.model_validate(values)


def fix_threads_and_product() -> None:
    """Fix what else decides the last bits: the number of threads, and whose matrix product is used.

    ``kernels.attention_stats.product`` chooses MKL's or oneDNN's by the processor's maker; without
    oneDNN's, it is MKL's everywhere.
    """

    def refused(*_: Any) -> None:
        raise RuntimeError("left out, so that the same product is used every time")

    torch.set_num_threads(THREADS)
    torch.ops.mkldnn._linear_pointwise = refused


def settings(database: Path, *, hosted: bool = False) -> Settings:
    """Return options under which nothing depends on the machine's environment.

    Args:
        database: DuckDB file; need not exist.
        hosted: public mode, which then keeps visitors' runs for good.
    """
    return Settings(
        database=f"duckdb:///{database}",
        device="cpu",
        statistics="panels",
        hosted=hosted,
        hosted_keep_hours=1e6,
        hosted_max_seconds=600,
        models_dir=None,
    )


def compute(database: Path) -> None:
    """Fill a new store with the answer to every question."""
    with Lab(settings(database, hosted=True)) as lab:
        for name in OWNED:
            _ask(lab, name, visitor=VISITOR)
    with Lab(settings(database)) as lab:
        for example in lab.search(limit=1000):
            if example.id not in EXAMPLES:
                lab._repository.delete(example.id)
        for name in QUESTIONS:
            if name not in OWNED:
                run = _ask(lab, name)
                if name in PINNED:
                    lab.pin(run.id)


def _ask(lab: Lab, name: str, **options: Any) -> Run:
    started = time.perf_counter()
    kind, values = QUESTIONS[name]
    run = lab.run(requested(kind, values), **options)
    assert not run.cached, f"{name} is the same question as another: change one"
    print(f"{name}: {time.perf_counter() - started:.1f} s")  # noqa: T201
    return run


def read(database: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Arrays]]:
    """Return what a store holds: descriptions that JSON can hold, and arrays, by name."""
    runs, arrays = {}, {}
    with Lab(settings(database, hosted=True)) as lab:
        records = lab.search(visitor=VISITOR, limit=1000)
        names = _names([(record.id, record.kind, record.request) for record in records])
        for record in records:
            if record.id not in names:
                continue
            run, name = lab.open(record.id, visitor=VISITOR), names[record.id]
            arrays[name] = flat(run.result.arrays())
            runs[name] = {
                "id": run.id,
                "kind": record.kind,
                "key": record.key,
                "created": run.created.isoformat(),
                "owner": record.owner,
                "pinned": record.pinned,
                "schema_version": run.environment["schema_version"],
                "fingerprint": run.environment["fingerprint"],
                "environment": run.environment,
                "request": run.request.model_dump(mode="json"),
                "facts": json.loads(json.dumps(run.result.facts())),
                "tables": {t: len(rows) for t, rows in run.result.tables().items()},
                "arrays": {n: described(array) for n, array in arrays[name].items()},
            }
    return dict(sorted(runs.items())), arrays


def _names(found: list[tuple[str, str, dict[str, Any]]]) -> dict[str, str]:
    """Return the name of each run by its id; the points that a sweep stores are named after it."""
    asked = {
        _as_text(kind, requested(kind, values).model_dump(mode="json")): name
        for name, (kind, values) in QUESTIONS.items()
    }
    names = {}
    for run_id, kind, request in found:
        if run_id.startswith("example-"):
            if run_id in EXAMPLES:
                names[run_id] = run_id
        elif name := asked.get(_as_text(kind, request)):
            names[run_id] = name
        else:
            place = (request["policies"][0]["slug"], request["budgets"][0], request["depths"][0])
            what = request["task"] or "prompts"
            names[run_id] = "-".join(map(str, (f"point_of_sweep_{what}", *place)))
    assert len(set(names.values())) == len(names), "two runs have one name"
    return names


def _as_text(kind: str, request: dict[str, Any]) -> str:
    return json.dumps([kind, request], sort_keys=True)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide numbers."""
    return {name: metadata.version(name) for name in ("torch", "transformers", "numpy")}


def processor() -> str:
    """Return name, family, model and stepping of the processor: names alone are often general."""
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    told = dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if line]))
    wanted = ("model name", "cpu family", "model", "stepping")
    return ", ".join(f"{name} {told.get(name, 'unknown')}" for name in wanted)


def main() -> None:
    """Compute everything and write it down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--freeze", type=Path, help="also keep the store here, such as v1")
    asked = parser.parse_args()
    folder: Path = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        parser.error(f"{folder} is not empty: name a new folder")
    for name in [*os.environ]:
        if name.startswith("TOKENARIUM_") or name == "SPACE_ID":
            del os.environ[name]
    fix_threads_and_product()
    database = folder / "runs.duckdb"
    compute(database)
    with tempfile.TemporaryDirectory() as copies:  # opening a store brings the examples back
        copy = Path(shutil.copy(database, copies))
        runs, arrays = read(copy)
    for name, found in arrays.items():
        np.savez_compressed(folder / f"{name}.npz", **found)
    environment = runs[next(iter(QUESTIONS))]["environment"]
    told = {
        "made": {
            "commit": environment["commit"],
            "threads": environment["threads"],
            "processor": processor(),
            "versions": versions(),
        },
        "not_deterministic": NOT_DETERMINISTIC,
        "visitor": VISITOR,
        "runs": runs,
    }
    text = json.dumps(told, ensure_ascii=False, indent=1) + "\n"
    (folder / "runs.json").write_text(text, encoding="utf-8")
    if asked.freeze:
        asked.freeze.mkdir(parents=True, exist_ok=True)
        for name, content in (("runs.json", text.encode()), ("runs.duckdb", database.read_bytes())):
            (asked.freeze / f"{name}.xz").write_bytes(lzma.compress(content, preset=9))


if __name__ == "__main__":
    main()
