"""``python -m tests.hostile.classroom``: twenty students behind one address press Run at once.

Starts the application as a host would, begins a class, and lets every student of it run the live
step of a lesson at the same moment: a text of their own, or one of the values that the step names.
Prints when the first, the middle and the last had an answer, how many had none, and what it took of
a processor. Ends with 1 where one was refused or waited longer than ``WITHIN_S``.
"""

import argparse
import os
import re
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

from tests.hostile.flood import _wait, ask_for, free_port
from tests.load.processes import processor_seconds
from tokenarium.backend import Lab
from tokenarium.backend.environment import processor
from tokenarium.backend.settings import PROJECT, Settings
from tokenarium.ui.lessons.lesson import Lesson, Step
from tokenarium.ui.lessons.reading import lessons

STUDENTS = 20
WITHIN_S = 180.0
SCHOOL = "8.8.4.4"
_AFTER = re.compile(r" to ((?:\d+(?:, | or )?)+)")


def main() -> None:
    """Measure it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default="", help="in place of the step's own")
    options.add_argument("--lesson", default="sink", choices=lessons(), help="whose live step")
    options.add_argument("--all-other", action="store_true", help="no two choose the same value")
    options.add_argument("--models-dir", default="", help="where the model is, if not at hand")
    given = options.parse_args()
    kind, asked, changes = live_step(given.lesson, all_other=given.all_other)
    asked |= {"model": given.model} if given.model else {}
    with tempfile.TemporaryDirectory() as place:
        port = free_port()
        command = [
            *(sys.executable, "app.py", "--hosted", "--behind-proxy", "--port", str(port)),
            *("--database", f"duckdb:///{Path(place) / 'runs.duckdb'}", "--device", "cpu"),
        ]
        if given.models_dir:
            command += ["--models-dir", given.models_dir, "--hosted-models", asked["model"]]
        with (Path(place) / "log").open("wb") as log:
            app = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        try:
            well = _measured(f"http://127.0.0.1:{port}", app.pid, (kind, asked, changes))
        finally:
            app.terminate()
            app.wait(20)
    sys.exit(not well)


def live(lesson: Lesson) -> tuple[Step, str]:
    """Return the live step of a lesson, and the field that a student changes."""
    step = next(each for each in lesson.steps if each.live)
    [changed] = (each.parameters["changed"] for each in step.checks if each.name == "own_run")
    return step, str(changed)


def values_of(step: Step) -> list[int]:
    """Return the values that a live step names to choose from; none where a text is written.

    Students who choose the same wait for one run.
    """
    named = _AFTER.search(step.do.replace("*", ""))
    return [int(value) for value in re.findall(r"\d+", named[1])] if named else []


def live_step(slug: str, *, all_other: bool) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Return endpoint and request of the run that a live step shows, and what students change.

    Args:
        slug: of the lesson.
        all_other: whether every student chooses another value, also where the step names a few.
    """
    step, changed = live(lessons()[slug])
    with Lab(Settings(database="duckdb:///:memory:", device="cpu", fetch=False)) as lab:
        request = lab.open(step.state["run"]).request
        [endpoint] = (each.endpoint for each in lab.kinds() if each.request is type(request))
    asked, values = request.model_dump(mode="json"), values_of(step)
    before = asked[changed]
    every = range(STUDENTS + 1)
    if not values:
        return endpoint, asked, [{changed: f"Student {n} reads. {before}"} for n in every]
    if all_other:
        return endpoint, asked, [{changed: min(values) + n} for n in every]
    return endpoint, asked, [{changed: values[n % len(values)]} for n in every]


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


def _measured(url: str, pid: int, step: tuple[str, dict[str, Any], list[dict[str, Any]]]) -> bool:
    endpoint, asked, changes = step
    own = [asked | changed for changed in changes]
    others = len({str(each) for each in changes[:STUDENTS]})

    took: dict[int, float | None] = {}
    with httpx.Client(base_url=url, timeout=300) as http:
        _wait(http)
        code = begin_class(http)
        group = f"; tokenarium_class={code}"
        began = time.monotonic()
        alone = ask_for(http, endpoint, asked | {"seed": 1}, SCHOOL, secrets.token_hex(16) + group)
        assert alone is not None, "one student alone was refused"
        first = time.monotonic() - began

    def press(number: int) -> None:
        with httpx.Client(base_url=url, timeout=600) as browser:
            began = time.monotonic()
            name = secrets.token_hex(16) + group
            run = ask_for(browser, endpoint, own[number], SCHOOL, name)
            took[number] = None if run is None else time.monotonic() - began

    spent = processor_seconds([pid])
    students = [threading.Thread(target=press, args=(n,)) for n in range(STUDENTS)]
    for student in students:
        student.start()
    for student in students:
        student.join()
    done = sorted(seconds for seconds in took.values() if seconds is not None)
    refused = STUDENTS - len(done)
    middle = statistics.median(done) if done else 0.0
    soonest, last = min(done, default=0.0), max(done, default=0.0)
    spent = processor_seconds([pid]) - spent
    sys.stdout.write(
        f"{asked['model']}, {endpoint}, {others} different: {len(done)} of {STUDENTS} students "
        f"had an answer, the first after {soonest:.1f} s, the middle one after {middle:.1f}, "
        f"the last after {last:.1f}; {refused} were refused. It took {spent:.1f} s of "
        f"{processor()}, at a load of {os.getloadavg()[0]:.1f}; the first alone, for whom the "
        f"model was loaded, waited {first:.1f} s.\n"
    )
    sys.stdout.flush()
    return not refused and last <= WITHIN_S


if __name__ == "__main__":
    main()
