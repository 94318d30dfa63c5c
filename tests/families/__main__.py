"""``make families``: tries every causal type of transformers and writes docs/families.md.

Each family runs in a process of its own, with a time limit; what was found is kept in
``build/families.jsonl``, so that a run that was interrupted goes on. ``--again NAME ...`` measures
some anew, ``--again all`` everything. With ``--engine ray`` Ray's workers measure them, as many at
once as ``--workers`` says.
"""

import argparse
import json
from pathlib import Path

import transformers

from tests.families.building import causal_types
from tests.families.measuring import Record
from tests.families.parts import FamiliesRequest, FamilyParts
from tests.families.table import write
from tokenarium.backend import Lab, Settings

KEPT = Path("build/families.jsonl")


def main() -> None:
    """Measure what is not kept yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", nargs="*", default=[], help="families to measure anew, or all")
    parser.add_argument("--engine", default="local", help="local, ray or ray://HOST:PORT")
    parser.add_argument("--workers", type=int, default=2, help="of Ray")
    asked = parser.parse_args()
    version = transformers.__version__
    found = {} if "all" in asked.again else _kept(version)
    for family in asked.again:
        found.pop(family, None)
    settings = Settings(
        hosted=False, engine=asked.engine, database="duckdb:///:memory:", device="cpu",
        workers=asked.workers, model_workers_max=asked.workers,
    )  # fmt: skip
    with Lab(settings) as lab:
        parts = FamilyParts(causal_types(), found, version, KEPT)
        write(lab.in_parts(parts, FamiliesRequest(model="none")), version)


def _kept(version: str) -> dict[str, Record]:
    if not KEPT.exists():
        return {}
    records = map(json.loads, KEPT.read_text(encoding="utf-8").splitlines())
    return {
        record.pop("family"): record for record in records if record.pop("transformers") == version
    }


if __name__ == "__main__":
    main()
