"""Labs whose store has the shipped runs, which takes most of a second to fill anew."""

import os
import shutil
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.settings import Settings

_numbers = count()


def shipped_store() -> str:
    """Return the address of a new DuckDB file that holds the shipped runs and nothing else."""
    place = _filled().with_name(f"{next(_numbers)}.duckdb")
    shutil.copyfile(_filled(), place)
    return f"duckdb:///{place}"


def shipped_lab(**options: Any) -> Lab:
    """Open a lab over a store of its own, on this machine's processor unless asked otherwise."""
    usual = {"database": shipped_store(), "device": "cpu", "hosted": False}
    return Lab(Settings(**usual | options))


@cache
def _filled() -> Path:
    place = Path(os.environ["TOKENARIUM_CACHE_DIR"]) / "stores" / "filled.duckdb"
    place.parent.mkdir()
    Lab(Settings(database=f"duckdb:///{place}", device="cpu", hosted=False)).close()
    return place
