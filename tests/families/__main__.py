"""``make families``: tries every causal type of transformers and writes docs/families.md.

Each family runs in a process of its own, with a time limit; what was found is kept in
``build/families.jsonl``, so that a run that was interrupted goes on. ``--again NAME ...`` measures
some anew, ``--again all`` everything.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import transformers
from transformers.utils import logging

from tests.families.building import causal_types
from tests.families.measuring import Record, measure
from tests.families.table import write

KEPT = Path("build/families.jsonl")
TIMEOUT_S = 300


def main() -> None:
    """Measure what is not kept yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", nargs="*", default=[], help="families to measure anew, or all")
    again = parser.parse_args().again
    version = transformers.__version__
    found = {} if "all" in again else _kept(version)
    for family in again:
        found.pop(family, None)
    families = causal_types()
    KEPT.parent.mkdir(exist_ok=True)
    for family in families:
        if family not in found:
            found[family] = _apart(family)
            print(f"{family}: {found[family]['verdict']} {found[family]['why']}", flush=True)
            lines = (
                json.dumps({"transformers": version, "family": name} | record)
                for name, record in found.items()
            )
            KEPT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    write({family: found[family] for family in families}, version)


def _kept(version: str) -> dict[str, Record]:
    if not KEPT.exists():
        return {}
    records = map(json.loads, KEPT.read_text(encoding="utf-8").splitlines())
    return {
        record.pop("family"): record for record in records if record.pop("transformers") == version
    }


def _apart(family: str) -> Record:
    """Measure a family in a process that is ended when it takes too long."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # Forked, so that nothing is imported again; nothing computes here, so no thread is lost.
    child = multiprocessing.get_context("fork").Process(target=_send, args=(family, theirs))
    child.start()
    theirs.close()
    record: Record = {"verdict": "raw error", "why": f"no answer in {TIMEOUT_S} seconds"}
    if ours.poll(TIMEOUT_S):
        record = {"verdict": "raw error", "why": "the process ended without an answer"}
        with contextlib.suppress(EOFError):
            record = ours.recv()
    child.kill()
    child.join()
    return record


def _send(family: str, to: Connection) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    to.send(measure(family))


if __name__ == "__main__":
    main()
