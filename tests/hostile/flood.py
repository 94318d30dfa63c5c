"""``python -m tests.hostile.flood``: 24 greedy loops over HTTP, and an honest visitor among them.

Starts the application as a host would, behind a proxy, and floods it from one address, a new name
per request. Prints how many of the greedy runs were done while the honest visitor waited for one,
which no other load of the machine changes, and what the process held meanwhile: memory, threads,
open files, bytes of the database. Ends with 1 where the honest visitor waited too long.
"""

import argparse
import json
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tokenarium.backend.settings import PROJECT

LOOPS = 24
WITHIN_RUNS = 3
"""Most runs of the greedy that are done while the honest visitor waits for one, as a rule."""
TEXT = "An honest text, which is read word for word until it ends. " * 12
PARTS = 6
"""Of the time, whose largest figures are printed: what grows without bound grows in each."""
GREEDY, HONEST = "8.8.8.8", "9.9.9.9"


@dataclass
class Held:
    """What the process held, one entry per look at it."""

    megabytes: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    stored_megabytes: list[float] = field(default_factory=list)

    def look(self, pid: int, database: Path) -> None:
        """Add what it holds now."""
        told = Path(f"/proc/{pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in told.splitlines())
        self.megabytes.append(int(fields["VmRSS"].split()[0]) / 1024)
        self.threads.append(int(fields["Threads"]))
        self.files.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
        size = sum(part.stat().st_size for part in database.parent.glob(f"{database.name}*"))
        self.stored_megabytes.append(size / 2**20)


def ask(
    http: httpx.Client, text: str, address: str, name: str, model: str = "bundled/target"
) -> dict[str, Any] | None:
    """Return the run of a text; None where it is refused."""
    return ask_for(http, "trace", {"model": model, "text": text}, address, name)


def ask_for(
    http: httpx.Client, endpoint: str, asked: dict[str, Any], address: str, name: str
) -> dict[str, Any] | None:
    """Return a run of any kind; None where it is refused."""
    headers = {"x-forwarded-for": address, "cookie": f"tokenarium_visitor={name}"}
    began = http.post(f"/gradio_api/call/v2/{endpoint}", json=asked, headers=headers)
    if began.status_code != 200:
        return None
    place = f"/gradio_api/call/{endpoint}/{began.json()['event_id']}"
    found, event = None, ""
    with http.stream("GET", place, headers=headers) as lines:
        for line in lines.iter_lines():
            event = line.removeprefix("event: ") if line.startswith("event: ") else event
            if line.startswith("data: ") and event in ("generating", "complete"):
                told = json.loads(line.removeprefix("data: "))
                told = told[0] if isinstance(told, list) and told else told
                if isinstance(told, dict) and told.get("event") == "finished":
                    found = told["run"]
    return found


def main() -> None:
    """Flood the application for the time given."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=120.0, help="time to flood")
    seconds = options.parse_args().seconds
    with tempfile.TemporaryDirectory() as place:
        database, port = Path(place) / "runs.duckdb", free_port()
        command = [
            *(sys.executable, "app.py", "--hosted", "--behind-proxy", "--port", str(port)),
            *("--database", f"duckdb:///{database}", "--no-fetch", "--device", "cpu"),
        ]
        with (Path(place) / "log").open("wb") as log:
            app = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        try:
            kept = _flood(app.pid, f"http://127.0.0.1:{port}", database, seconds)
        finally:
            app.terminate()
            app.wait(20)
    sys.exit(not kept)


def _flood(pid: int, url: str, database: Path, seconds: float) -> bool:
    name, over = secrets.token_hex(16), threading.Event()
    counts = {"answered": 0, "refused": 0}
    with httpx.Client(base_url=url, timeout=300) as http:
        _wait(http)
        alone = [_timed(http, name, f"alone {number}") for number in range(4)][1:]

        def greedy(number: int) -> None:
            with httpx.Client(base_url=url, timeout=300) as own:
                while not over.is_set():
                    try:
                        text = f"{secrets.token_hex(4)} {TEXT}"
                        done = ask(own, text, GREEDY, secrets.token_hex(16))
                    except httpx.HTTPError:
                        done = None
                    counts["refused" if done is None else "answered"] += 1
                    time.sleep(0.05)

        loops = [threading.Thread(target=greedy, args=(n,), daemon=True) for n in range(LOOPS)]
        for loop in loops:
            loop.start()
        held, waited, others, end = Held(), [], [], time.monotonic() + seconds
        time.sleep(2)
        while time.monotonic() < end:
            before = counts["answered"]
            waited.append(_timed(http, name, f"among them {time.monotonic_ns()}"))
            others.append(counts["answered"] - before)
            held.look(pid, database)
            time.sleep(2)
        over.set()
    return _said(alone, waited, others, held, counts)


def _timed(http: httpx.Client, name: str, text: str) -> float:
    """Return the seconds until an answer came."""
    began = time.monotonic()
    run = ask(http, f"{text} {TEXT}", HONEST, name)
    assert run is not None, "the honest visitor was refused"
    return time.monotonic() - began


def _said(
    alone: list[float], waited: list[float], others: list[int], held: Held, counts: dict[str, int]
) -> bool:
    """Print what was found; return whether it is as it must be."""
    middle = statistics.median(others)
    lines = [
        f"Greedy: {counts['answered']} answered, {counts['refused']} refused.",
        f"Honest: alone {statistics.median(alone):.2f} s; among {LOOPS} greedy loops {len(waited)} "
        f"runs, {statistics.median(waited):.2f} s, at most {max(waited):.2f} s, while {middle:.0f} "
        f"and at most {max(others)} runs of the greedy were done.",
    ]
    for kind, numbers in vars(held).items():
        parts = [
            numbers[at * len(numbers) // PARTS : (at + 1) * len(numbers) // PARTS]
            for at in range(PARTS)
        ]
        most = ", ".join(f"{max(part):.0f}" for part in parts if part)
        lines.append(f"{kind}: at most {most} in each sixth of the time.")
    sys.stdout.write("\n".join([*lines, ""]))
    sys.stdout.flush()
    return middle <= WITHIN_RUNS


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(http: httpx.Client) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            if http.get("/gradio_api/startup-events").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise SystemExit("the application did not start")


if __name__ == "__main__":
    main()
