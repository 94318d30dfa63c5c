"""``make mutations``: puts one fault after another into a copy, and runs the tests that must fail.

What is found is written into docs/tests.md. Words after the command choose mutations by name; the
rows of all others stay as they were written.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.mutations import layers, methods, policies, program, strategies, tokenization
from tests.mutations.mutation import Mutation

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "tests.md"
HEADING = "\n## Faults that the tests see\n"
MUTATIONS = (
    *program.GLUE,
    *program.NUMBERS,
    *policies.POLICIES,
    *methods.RULES,
    *strategies.STRATEGIES,
    *methods.ATTRIBUTORS,
    *methods.MEASURES,
    *layers.REDUCTIONS,
    *layers.DRAFTERS,
    *tokenization.TOKENIZATION,
)
SAID = {0: "survived", 1: "killed"}
"""By pytest's exit status; with any other the tests themselves could not run."""
ELSEWHERE = ("torch", "transformers", "gradio", "plotly.graph_objects", "duckdb", "sqlalchemy")
"""What takes long to import and has no fault put into it: imported once, before the copies are."""


def main() -> None:
    """Try what is asked for, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutations with one of these in their names")
    words = parser.parse_args().words
    wanted = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    for name in ELSEWHERE:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory(prefix="tokenarium-mutations-") as folder:
        copy = copied(Path(folder))
        if run(copy, sorted({test for each in wanted for test in each.tests})):
            sys.exit("tests fail without any fault: mend them first")
        found = {each: tried(copy, each) for each in wanted}
    head, heading, before = DOCUMENT.read_text(encoding="utf-8").partition(HEADING)
    known = written(before) | {each.name: said for each, said in found.items()}
    rows = {each: known[each.name] for each in MUTATIONS if each.name in known}
    DOCUMENT.write_text(head + heading + "\n" + table(rows), encoding="utf-8")
    sys.exit(any(said != "killed" for said in found.values()))


def copied(folder: Path) -> Path:
    """Return a copy of the files that git knows, under the name that is imported."""
    copy = folder / "tokenarium"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, copy / name)
    return copy


def tried(copy: Path, mutation: Mutation) -> str:
    """Return what the tests say of a fault: ``killed`` or ``survived``."""
    file, whole = copy / mutation.file, PROJECT / mutation.file
    file.write_text(mutation.applied(whole.read_text(encoding="utf-8")), encoding="utf-8")
    status = run(copy, mutation.tests)
    shutil.copyfile(whole, file)
    said = SAID.get(status, f"pytest ended with status {status}")
    print(f"{said}: {mutation.name}", flush=True)
    return said


def run(copy: Path, tests: Sequence[str]) -> int:
    """Return pytest's exit status, of tests of the copy up to the first that fails.

    They run in a fork of this process, which has the large libraries but nothing of the program.
    """
    said = copy.parent / "said"
    process = os.fork()
    if not process:
        _run(copy, tests, said)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if status not in SAID:
        print(said.read_text(encoding="utf-8")[-4000:])
    return status


def _run(copy: Path, tests: Sequence[str], said: Path) -> None:
    """Run tests of the copy and end this process; what they print goes into a file."""
    os.chdir(copy)
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ["PYTHONPATH"] = str(copy.parent)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(copy.parent), *(path for path in sys.path if path not in ("", str(PROJECT)))]
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("tests", "tokenarium"):
            del sys.modules[name]
    asked = [f"tests/{test}" for test in tests]
    status = 2
    try:
        status = int(pytest.main(["-x", "-p", "no:cacheprovider", *asked]))
    finally:
        sys.stdout.flush()
        os._exit(status)


def written(text: str) -> dict[str, str]:
    """Return what a table says of each fault, by its name."""
    rows = [line.split(" | ") for line in text.splitlines() if line.endswith(" |")]
    return {row[0].removeprefix("| "): row[-1].removesuffix(" |") for row in rows[1:]}


def table(found: dict[Mutation, str]) -> str:
    """Return a Markdown table of what was found."""
    rows = []
    for each, said in found.items():
        tests = ", ".join(f"`{test}`" for test in each.tests)
        rows.append(f"| {each.name} | `{each.file}` | {tests} | {said} |")
    killed = sum(said == "killed" for said in found.values())
    more = len(MUTATIONS) - len(found)
    untried = f"; {more} more that are declared were not tried yet" if more else ""
    head = (
        f"`make mutations` puts each into a copy and runs the tests named beside it: {killed} of "
        f"{len(found)} are killed{untried}.\n\n| Fault | in | Tests | |\n|---|---|---|---|\n"
    )
    return head + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
