"""Compute the shipped examples: ``python -m tokenarium.backend.runs.make_examples``."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tokenarium.backend.runs.examples import FOLDER, declared
from tokenarium.backend.runs.kind import Example
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.run import Run
from tokenarium.backend.settings import Settings


def write(run: Run, example: Example, folder: Path = FOLDER) -> None:
    """Ship ``run`` as the run of ``example``; ``read`` gives it back bit by bit.

    Args:
        run: as computed.
        example: which.
        folder: where ``SLUG.json`` and ``SLUG.npz`` go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {
        "request": run.request.model_dump(mode="json"),
        "created": run.created.isoformat(),
        "duration_ms": run.duration_ms,
        "environment": run.environment,
        "facts": run.result.facts(),
    }
    text = json.dumps(described, ensure_ascii=False, indent=1) + "\n"
    (folder / f"{example.slug}.json").write_text(text, encoding="utf-8")
    arrays: dict[str, Any] = run.result.arrays()
    np.savez_compressed(folder / f"{example.slug}.npz", **arrays)


def main(folder: Path = FOLDER) -> None:
    """Compute every example on the bundled model and ship it."""
    settings = Settings(database="duckdb:///:memory:", device="cpu", hosted=False)
    for old in folder.glob("*.npz"):
        old.unlink()
        old.with_suffix(".json").unlink(missing_ok=True)
    with Lab(settings) as lab:
        for example in declared():
            run = lab.run(example.request)
            write(run, example, folder)
            print(f"{example.slug}: {run.duration_ms:.0f} ms")  # noqa: T201


if __name__ == "__main__":
    main()
