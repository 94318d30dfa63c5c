"""The process that brings a model to this machine, followed from the application."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tokenarium.backend.models.gguf.converted import GgufSource
from tokenarium.backend.settings import PROJECT

AGAIN_S = 30.0
"""How soon what failed is tried again."""


@dataclass
class Fetch:
    """One model on its way."""

    doing: str = "starting"
    done: int = 0
    total: int = 1
    error: str = ""
    ended_at: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def words(self) -> str:
        """How far it is."""
        if self.total > 1:
            return f"{self.doing}, {self.done / 1e6:.0f} of {self.total / 1e6:.0f} MB"
        return self.doing


class Fetches:
    """The fetches of one application; each model is fetched by one process, whoever asks."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._known: dict[object, Fetch] = {}
        self._processes: dict[object, subprocess.Popen[str]] = {}
        self._closed = False

    def start(self, source: GgufSource, name: str) -> Fetch:
        """Return the fetch of a model, begun now unless it goes on or has just failed."""
        key = source.digest or source.file
        with self._lock:
            known = self._known.get(key)
            if known and (not known.ended.is_set() or _recent(known)):
                return known
            fetch = self._known[key] = Fetch()
            if self._closed:
                fetch.error = "the application is closing"
                fetch.ended.set()
                return fetch
            self._processes[key] = process = _begun(source, name, self._cache)
        threading.Thread(
            target=self._follow, args=(key, fetch, process), name="fetch", daemon=True
        ).start()
        return fetch

    def of(self, source: GgufSource) -> Fetch | None:
        """Return the fetch of a model, going on or ended; None where none was begun."""
        with self._lock:
            return self._known.get(source.digest or source.file)

    def close(self) -> None:
        """End what goes on; what is half-done stays nowhere."""
        with self._lock:
            self._closed = True
            going = list(self._processes.values())
        for process in going:
            _end(process)

    def _follow(self, key: object, fetch: Fetch, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            try:
                told = json.loads(line)
            except ValueError:
                last = line.strip() or last
                continue
            fetch.error = told.get("error", "")
            if "doing" in told:
                fetch.doing, fetch.done, fetch.total = told["doing"], told["done"], told["total"]
        status = process.wait()
        if status and not fetch.error:
            fetch.error = f"the process that fetches ended with status {status} {last}".strip()
        with self._lock:
            self._processes.pop(key, None)
        fetch.ended_at = time.monotonic()
        fetch.ended.set()


def speak(out: IO[str]) -> Callable[[str, int, int], None]:
    """Return what reports progress to the process that follows."""

    def report(doing: str, done: int, total: int) -> None:
        out.write(json.dumps({"doing": doing, "done": done, "total": total}) + "\n")
        out.flush()

    return report


def end_with(parent: IO[str]) -> None:
    """End this process and those it started once the one that holds ``parent`` has ended."""

    def watch() -> None:
        while os.read(parent.fileno(), 1):
            pass
        if hasattr(os, "killpg"):
            os.killpg(os.getpgrp(), signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, name="end with", daemon=True).start()


def _begun(source: GgufSource, name: str, cache: Path) -> subprocess.Popen[str]:
    wanted = str(source.file) if source.file else name
    return subprocess.Popen(  # noqa: S603 - this program itself
        [
            *(sys.executable, str(PROJECT / "app.py"), "fetch", "--lines"),
            *("--model", wanted),
            *("--cache-dir", str(cache)),
        ],
        stdin=subprocess.PIPE,  # closed when this process ends
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[str]) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        return
    process.wait()


def _recent(fetch: Fetch) -> bool:
    return bool(fetch.error) and time.monotonic() - fetch.ended_at < AGAIN_S
