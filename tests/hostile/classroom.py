"""``python -m tests.hostile.classroom``: twenty students behind one address press Run at once.

Starts the application as a host would, begins a class, and lets every student of it run a text of
their own at the same moment. Prints when the first, the middle and the last had an answer, and how
many had none. Ends with 1 where one was refused or waited longer than ``WITHIN_S``.
"""

import argparse
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from tests.hostile.flood import _free_port, _wait, ask
from tokenarium.backend.settings import PROJECT

STUDENTS = 20
WITHIN_S = 180.0
SCHOOL = "8.8.4.4"
TEXT = "The old lighthouse keeper climbed the stairs every evening, and counted them. " * 6


def main() -> None:
    """Measure it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default="smollm2-135m-instruct", help="what they run")
    model = options.parse_args().model
    with tempfile.TemporaryDirectory() as place:
        port = _free_port()
        command = [
            *(sys.executable, "app.py", "--hosted", "--behind-proxy", "--port", str(port)),
            *("--database", f"duckdb:///{Path(place) / 'runs.duckdb'}", "--device", "cpu"),
        ]
        with (Path(place) / "log").open("wb") as log:
            app = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        try:
            well = _measured(f"http://127.0.0.1:{port}", model)
        finally:
            app.terminate()
            app.wait(20)
    sys.exit(not well)


def begin_class(http: httpx.Client) -> str:
    """Return the code of a new class, begun as the Learn page does it."""
    config = http.get("/config").json()
    (part,) = (
        each["id"] for each in config["components"] if each["props"].get("elem_id") == "classroom"
    )
    asked: dict[str, Any] = {
        "session_hash": secrets.token_hex(6),
        "component_id": part,
        "fn_name": "class_begin",
        "data": {"title": "Twenty"},
    }
    answer = http.post("/gradio_api/component_server", json=asked)
    return str(answer.json()["code"])


def _measured(url: str, model: str) -> bool:
    took: dict[int, float | None] = {}
    with httpx.Client(base_url=url, timeout=300) as http:
        _wait(http)
        code = begin_class(http)
        group = f"; tokenarium_class={code}"
        alone = ask(http, f"alone {TEXT}", SCHOOL, secrets.token_hex(16) + group, model)
        assert alone is not None, "one student alone was refused"

    def press(number: int) -> None:
        with httpx.Client(base_url=url, timeout=300) as own:
            began = time.monotonic()
            name = secrets.token_hex(16) + group
            run = ask(own, f"Student {number}: {TEXT}", SCHOOL, name, model)
            took[number] = None if run is None else time.monotonic() - began

    students = [threading.Thread(target=press, args=(n,)) for n in range(STUDENTS)]
    for student in students:
        student.start()
    for student in students:
        student.join()
    done = sorted(seconds for seconds in took.values() if seconds is not None)
    refused = STUDENTS - len(done)
    middle = statistics.median(done) if done else 0.0
    first, last = min(done, default=0.0), max(done, default=0.0)
    sys.stdout.write(
        f"{len(done)} of {STUDENTS} students had an answer, the first after {first:.1f} s, the "
        f"middle one after {middle:.1f}, the last after {last:.1f}; {refused} were refused.\n"
    )
    sys.stdout.flush()
    return not refused and last <= WITHIN_S


if __name__ == "__main__":
    main()
