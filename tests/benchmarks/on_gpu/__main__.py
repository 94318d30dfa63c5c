"""Run the tests, then each section in a process of its own, then write the table."""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.on_gpu.suite import run_suite
from tests.benchmarks.on_gpu.table import Journal, markdown

SECTIONS = {"kernels": 75, "small": 130, "large": 65, "drafting": 60}
"""Parts and the seconds that each may take, the start of Python included: ``small`` and ``large``
are all that is measured of a model."""


def main() -> int:
    """Run what was asked for; 1 where a test or a measurement failed."""
    options = argparse.ArgumentParser(prog="make gpu", description=__doc__)
    options.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    options.add_argument("--quick", action="store_true", help="tiny shapes, to try the command")
    options.add_argument("--only", nargs="*", default=["tests", *SECTIONS], help="parts to run")
    options.add_argument("--patience", type=float, default=1.0, help="factor on all time limits")
    options.add_argument("--commit", default="", help="what runs, where that cannot be found out")
    out = os.environ.get("OUT")
    options.add_argument("--out", type=Path, default=Path(out) if out else Path("test-results/gpu"))
    asked = options.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    journal = Journal(asked.out / "gpu.jsonl")
    journal.clear()
    if "tests" in asked.only:
        run_suite(journal, asked.out, asked.device, 100 * asked.patience)
    memory = Path("/dev/shm")  # models are written there and read several times
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as models:
        for section in (own for own in SECTIONS if own in asked.only):
            _run(section, journal, Path(models), asked)
    table = markdown(journal.lines(), asked.commit)
    (asked.out / "gpu.md").write_text(table)
    print(table)
    journal.say(f"written: {asked.out / 'gpu.md'}")
    return int(any(line.get("problem") for line in journal.lines()))


def _run(section: str, journal: Journal, models: Path, asked: argparse.Namespace) -> None:
    seconds = SECTIONS[section] * asked.patience
    journal.say(f"{section}: at most {seconds:.0f} s")
    command = [sys.executable, "-P", "-m", "tests.benchmarks.on_gpu.section", section]
    command += [str(journal.file), str(models), asked.device, f"{seconds:.0f}"]
    command += ["--quick"] if asked.quick else []
    # Without a GPU the kernels are interpreted, and only they: all else takes PyTorch's path.
    interpreted = asked.device == "cpu" and section == "kernels"
    environment = os.environ | ({"TRITON_INTERPRET": "1"} if interpreted else {})
    log = asked.out / f"{section}.log"
    with log.open("w") as file:
        try:
            status = subprocess.run(
                command,
                env=environment,
                stderr=file,
                timeout=seconds + 10,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = "its time was over"
    if status:
        last = (log.read_text().strip().splitlines() or ["no output"])[-1]
        journal.add(section=section, what="the rest", problem=f"{status}: {last}")
    journal.say(f"{section}: {'ended early' if status else 'done'}")


if __name__ == "__main__":
    sys.exit(main())
