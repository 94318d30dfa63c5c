"""The processes of a load test: replicas of the app, a Ray, and what is killed of them."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx

from tokenarium.backend.settings import PROJECT

START_S = 300.0
BUSY_S = 20.0
"""How long a worker that computes is waited for."""
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Replica:
    """One replica of the app, which can be killed and started again.

    Args:
        database: address of the run store.
        engine: where its runs are computed.
        folder: for its log and what it fetches.
    """

    def __init__(self, database: str, engine: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"replica-{self.port}.log"
        self._command = [
            *(sys.executable, "app.py", "--hosted", "--behind-proxy", "--port", str(self.port)),
            *("--database", database, "--no-fetch", "--device", "cpu", "--log", "json"),
            *("--engine", engine, "--cache-dir", str(folder / "cache"), "--queue-size", "64"),
            *("--workers", "1", "--model-workers-max", "1"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns before it answers."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=PROJECT, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it answers."""
        end = time.monotonic() + START_S
        while time.monotonic() < end and self.process and self.process.poll() is None:
            try:
                if httpx.get(f"{self.url}/ready", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.5)
        raise SystemExit(f"a replica did not start: {self._log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it as a lack of memory would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """End it in good order, or at all."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def megabytes(self) -> float:
        """Return what it holds of memory; 0 while it does not run."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        return resident_megabytes(self.process.pid)


class Ray:
    """A Ray on this machine, which asks for a token; its workers can be killed."""

    def __init__(self, folder: Path) -> None:
        self._port, self._client = free_port(), free_port()
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
            *("--port", str(self._port)),
            *("--ray-client-server-port", str(self._client), "--num-cpus", "4"),
            *("--include-dashboard", "false", "--disable-usage-stats"),
        ]
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        with (folder / "ray.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        self.engine = f"ray://127.0.0.1:{self._client}"

    def wait(self) -> None:
        """Wait until it can be connected to."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._client)) == 0:
                    return
            time.sleep(0.5)
        raise SystemExit("Ray did not start")

    def workers(self) -> list[int]:
        """Return the processes that hold a model."""
        return [
            pid
            for pid in descendants(self.process.pid)
            if command_of(pid).startswith("ray::ModelWorker")
        ]

    def kill_worker(self) -> bool:
        """Kill the first that computes, else one that does not; return whether there was one."""
        end = time.monotonic() + BUSY_S
        while time.monotonic() < end:
            before = {pid: processor_seconds([pid]) for pid in self.workers()}
            time.sleep(0.25)
            busy = [pid for pid, spent in before.items() if processor_seconds([pid]) > spent + 0.1]
            if busy:
                os.kill(busy[0], signal.SIGKILL)
                return True
        for pid in self.workers()[:1]:
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def end(self) -> None:
        """End it with all that it started."""
        started = descendants(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for pid in started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def ray_if_there(folder: Path) -> Iterator[Ray | None]:
    """Run a Ray; None where it is not installed."""
    if find_spec("ray") is None:
        yield None
        return
    started = Ray(folder)
    try:
        started.wait()
        yield started
    finally:
        started.end()


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they did."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, next_up = [], [pid]
    while next_up:
        children = parents.get(next_up.pop(), [])
        found += children
        next_up += children
    return found


def command_of(pid: int) -> str:
    """Return the title of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def processor_seconds(pids: Sequence[int]) -> float:
    """Return processor seconds of processes, with those of the children that they waited for."""
    ticks = 0
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, stat[11:15]))
    return ticks / _TICKS


def resident_megabytes(pid: int) -> float:
    """Return the memory that a process holds; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = [line for line in lines if line.startswith("VmRSS")]
    return int(found[0].split()[1]) / 1024 if found else 0.0
