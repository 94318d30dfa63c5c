"""Compute the shipped examples: ``python -m tokenarium.backend.runs.make_examples [SLUG ...]``.

The default model is fetched first where it is not on this machine.
"""

import json
import sys
from collections.abc import Sequence
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


def main(slugs: Sequence[str] = (), folder: Path = FOLDER) -> None:
    """Compute examples and ship them, each in the place of its older run.

    Args:
        slugs: which; none for all, and then runs that no kind declares any more go.
        folder: where ``SLUG.json`` and ``SLUG.npz`` go.
    Raises: ValueError for a slug that is not declared.
    """
    known = {example.slug: example for example in declared()}
    if unknown := [slug for slug in slugs if slug not in known]:
        raise ValueError(f"{unknown[0]!r} is no example: choose among {', '.join(known)}")
    for old in folder.glob("*.npz"):  # A shipped run would be an answer.
        if old.stem in slugs or not slugs:
            old.unlink()
            old.with_suffix(".json").unlink(missing_ok=True)
    settings = Settings(database="duckdb:///:memory:", device="cpu", hosted=False)
    with Lab(settings) as lab:
        for slug in slugs or known:
            run = lab.run(known[slug].request)
            write(run, known[slug], folder)
            print(f"{slug}: {run.duration_ms:.0f} ms")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
