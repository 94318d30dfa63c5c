"""One process for the tokenizer of one foreign model: started, asked, ended when it takes long."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from tokenarium.backend.runs.events import CancelToken, current_cancel

CHILD = Path(__file__).with_name("child.py")
CPU_S = 5.0
"""Processor time that a request may take; real texts and templates take milliseconds."""
CPU_S_PER_MB = 0.5
"""More of it for each megabyte that is sent, or read from a file."""
WALL = 3
"""Times the processor time that may pass by the clock, on a machine that does other things."""
LARGEST_ANSWER = 512 * 2**20
_LOOK_S = 0.1

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "SYSTEMROOT")


class TokenizerStopped(ValueError):  # noqa: N818
    """The tokenizer or chat template of a model took too long, too much memory, or broke."""


class TokenizerError(ValueError):
    """The tokenizer or chat template of a model raised an error of its own, of this kind."""

    def __init__(self, words: str, kind: str) -> None:
        super().__init__(words or kind)
        self.kind = kind


class TokenizerProcess:
    """Answers one request at a time; begun with the first, and again after it was ended.

    Args:
        name: of the model, for messages.
        cpu_s: processor time that a request may take, what it sends not counted; None for the
            usual.
    """

    def __init__(self, name: str, cpu_s: float | None = None) -> None:
        self.name, self._cpu_s = name, cpu_s
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def ask(self, begin: Callable[[], dict[str, Any] | None], **asked: Any) -> Any:
        """Return the answer to a request.

        Args:
            begin: what is asked first where the process is new, or None where nothing is.
            asked: ``do`` and its arguments, as ``child`` takes them.

        Raises:
            TokenizerStopped: if the process took too long, or ended.
            TokenizerError: if the tokenizer or template raised an error.
            Cancelled: if the run that asks was cancelled meanwhile.
        """
        cancel = current_cancel()
        while not self._lock.acquire(timeout=_LOOK_S):
            if cancel:
                cancel.check()
        try:
            if self._running is None:
                self._running = _Running()
                weakref.finalize(self, self._running.end)
                if (first := begin()) is not None:
                    self._answer(first, cancel)
            return self._answer(asked, cancel)
        except TokenizerError as error:
            if error.kind == "PanicException":  # what it left behind is anybody's guess
                self._end()
            raise
        except BaseException:
            self._end()
            raise
        finally:
            self._lock.release()

    def forget(self) -> None:
        """End the process: the next request begins a new one."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.end()
            self._running = None

    def _answer(self, asked: dict[str, Any], cancel: CancelToken | None) -> Any:
        assert self._running is not None
        line = json.dumps(asked)
        size = len(line) + (Path(asked["file"]).stat().st_size if "file" in asked else 0)
        cpu_s = CPU_S if self._cpu_s is None else self._cpu_s
        cpu_s += CPU_S_PER_MB * size / 1e6
        line = json.dumps(asked | {"cpu_s": cpu_s})
        what = "chat template" if asked["do"] == "fill" else "tokenizer"
        self._running.send(line)
        end = time.monotonic() + WALL * cpu_s
        while (answer := self._running.answer(_LOOK_S)) is None:
            if cancel:
                cancel.check()
            if time.monotonic() > end:
                raise TokenizerStopped(
                    f"the {what} of {self.name} did not end within {WALL * cpu_s:.0f} s and was "
                    "stopped: change the text, or choose another model"
                )
        if not answer:
            raise TokenizerStopped(
                f"the {what} of {self.name} took more than {cpu_s:.0f} s of computing or more "
                "memory than it may, and was stopped: change the text, or choose another model"
            )
        found = json.loads(answer)
        if found.get("memory"):
            raise TokenizerStopped(
                f"the {what} of {self.name} took more memory than it may: change the text, or "
                "choose another model"
            )
        if "error" in found:
            raise TokenizerError(found["error"], found["kind"])
        return found["ok"]


class _Running:
    """A process, and what it has answered."""

    def __init__(self) -> None:
        given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        given |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "USE_TORCH": "0"}
        given |= {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"}
        # Nothing of it reaches a log: a panic writes out the text that it was given.
        self._process = subprocess.Popen(  # noqa: S603 - a file of this program
            [sys.executable, "-P", str(CHILD)],
            stdin=subprocess.PIPE,  # closed when this program ends
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=given,
        )
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        assert self._process.stdout is not None
        threading.Thread(
            target=_read, args=(self._process.stdout, self._answers), name="tokenizer", daemon=True
        ).start()

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a process that has ended gives no answer
            self._process.stdin.write(line.encode("ascii") + b"\n")
            self._process.stdin.flush()

    def answer(self, seconds: float) -> bytes | None:
        """Return the next answer, b"" where the process has ended, or None so far."""
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def _read(stream: IO[bytes], answers: "queue.SimpleQueue[bytes]") -> None:
    with contextlib.suppress(OSError, ValueError):
        while (line := stream.readline(LARGEST_ANSWER)).endswith(b"\n"):
            answers.put(line)
    answers.put(b"")
