"""The tests that need a GPU, in several processes: most of their time is compilation."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks.on_gpu.table import Journal

PROCESSES = 12
TESTS = Path("tests")
_PYTEST = [
    *(sys.executable, "-P", "-m", "pytest", "-m", "gpu and not slow", "-p", "no:cacheprovider"),
    *("-o", "addopts=--strict-markers --import-mode=importlib"),
]


def run_suite(journal: Journal, out: Path, device: str, seconds: float) -> None:
    """Run every test marked ``gpu``, and keep how many passed and the names of the others."""
    if device == "cpu":
        journal.add(tests="left out without a GPU", failed=[])
        return
    end = time.monotonic() + seconds
    marked = marked_files()
    journal.say(f"tests: finding those of {len(marked)} files")
    found = collect(marked, out)
    number = max(1, min(PROCESSES, (os.cpu_count() or 2) * 3 // 4))
    journal.say(f"tests: {len(found)} in {number} processes, at most {seconds:.0f} s")
    # Without a name pytest would run everything there is.
    shares = [share for own in range(number) if (share := found[own::number])]
    running = [_start(share, out / f"tests_{own}.log") for own, share in enumerate(shares)]
    late = []
    for own, process in enumerate(running):
        try:
            process.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            late.append(own)
    said = "".join((out / f"tests_{own}.log").read_text() for own in range(len(shares)))
    ends = re.findall(r" (PASSED|FAILED|ERROR|SKIPPED)(?: \(.*\))? +\[ *\d+%\]", said)
    failed = sorted(set(re.findall(r"^(?:FAILED|ERROR) (.*)", said, re.MULTILINE)))
    words = f"{ends.count('PASSED')} of {len(found)} passed"
    words += f", {len(found) - len(ends)} not finished" if len(ends) < len(found) else ""
    journal.add(tests=words, failed=failed)
    if failed or late or not found:
        journal.add(section="tests", what="", problem=words)


def marked_files() -> list[str]:
    """Return the files with tests that need a GPU."""
    return [
        str(path) for path in sorted(TESTS.rglob("test_*.py")) if "mark.gpu" in path.read_text()
    ]


def collect(files: list[str], out: Path) -> list[str]:
    """Return the names of their tests; what pytest said is left in ``tests_found.log``."""
    told = subprocess.run(
        [*_PYTEST, *files, "--collect-only", "-q"], capture_output=True, text=True, check=False
    )
    (out / "tests_found.log").write_text(told.stdout + told.stderr)
    return [line for line in told.stdout.splitlines() if "::" in line and " " not in line[:6]]


def _start(names: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process for some tests."""
    command = [*_PYTEST, "-v", "--tb=short", "-rfE", *names]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    with log.open("w") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)
