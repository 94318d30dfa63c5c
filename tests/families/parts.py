"""The table of families in parts: each in a process of its own, on whichever worker is free."""

import contextlib
import json
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from transformers.utils import logging

from tests.families.measuring import Record, measure
from tokenarium.backend import Event, ModelRequest
from tokenarium.backend.runs.events import CancelToken

TIMEOUT_S = 300
_LOOK_S = 0.2


class FamiliesRequest(ModelRequest):
    """The table of families, which reads no model that is there already."""

    kind: ClassVar[str] = "families"

    @property
    def reads_model(self) -> bool:
        """Each part builds its own."""
        return False


class FamilyParts:
    """See ``tokenarium.backend.runs.parts``: a family by itself.

    Args:
        families: names of types.
        found: what is measured already; takes what is measured.
        version: of transformers.
        file: where all that is found is kept, a family a line.
    """

    compute = "tests.families.parts:family_apart"

    def __init__(
        self, families: Sequence[str], found: dict[str, Record], version: str, file: Path
    ) -> None:
        self._families, self._found = families, found
        self._version, self._file = version, file

    def stages(self) -> Iterator[Sequence[str]]:
        """Yield what is not found yet."""
        yield [family for family in self._families if family not in self._found]

    def key(self, part: Hashable) -> str:
        """Nobody but ``take`` remembers a family."""
        return ""

    def take(self, part: Hashable, answer: Any) -> None:
        """Take what was found of a family, and write all down."""
        family, record = cast(str, part), cast(Record, answer)
        self._found[family] = record
        print(f"{family}: {record['verdict']} {record['why']}", flush=True)
        lines = (
            json.dumps({"transformers": self._version, "family": name} | each)
            for name, each in self._found.items()
        )
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def doing(self, part: Hashable) -> str:
        """Return the family."""
        return str(part)

    def shown(self) -> None:
        """Nobody follows it but by what is printed."""

    def result(self) -> dict[str, Record]:
        """Return all that was found, in the order of the families."""
        return {family: self._found[family] for family in self._families}


def family_apart(
    request: ModelRequest,
    family: str,
    loaded: None,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> Record:
    """Measure a family in a process that is ended when it takes too long, or is cancelled."""
    # From a server that imported all of it once: a worker has threads, which must not be forked.
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["tests.families.measuring"])
    ours, theirs = start.Pipe(duplex=False)
    child = start.Process(target=_send, args=(family, theirs))
    child.start()
    theirs.close()
    record: Record = {"verdict": "raw error", "why": f"no answer in {TIMEOUT_S} seconds"}
    try:
        for _ in range(round(TIMEOUT_S / _LOOK_S)):
            cancel.check()
            if ours.poll(_LOOK_S):
                record = {"verdict": "raw error", "why": "the process ended without an answer"}
                with contextlib.suppress(EOFError):
                    record = ours.recv()
                break
    finally:
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
