"""A worker stands back for whoever else wants a processor, in another session, too."""

import json
import os
import subprocess
import sys
import time

import pytest

from tokenarium.backend.scale.priority import stand_back

SHARED = """
import json, os, sys, threading, time
from tokenarium.backend.scale.priority import stand_back

other = threading.Thread(target=time.sleep, args=(60,), daemon=True)
other.start()  # a thread that is there already
found = stand_back(int(sys.argv[1]), 0)
own = [os.getpriority(os.PRIO_PROCESS, int(task)) for task in os.listdir("/proc/self/task")]
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
print(json.dumps([found, own]), flush=True)
begin, end = map(float, sys.stdin.readline().split())
while time.monotonic() < begin:
    time.sleep(0.001)
before = time.process_time()
while time.monotonic() < end:
    pass
print(time.process_time() - before)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="niceness of threads is Linux's")


def begun(niceness: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SHARED, str(niceness)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_process_that_stands_back_leaves_a_processor_to_another_session() -> None:
    answering, worker = begun(0), begun(19)
    said = [json.loads(each.stdout.readline()) for each in (answering, worker)]  # type: ignore[union-attr]
    assert said[0] == [0, [0, 0]]
    assert said[1] == [19, [19, 19]], "threads that were there stand back, too"
    # The same time for both, by the machine's clock: who comes late has had less of it.
    begin = time.monotonic() + 0.1
    for each in (answering, worker):
        each.stdin.write(f"{begin} {begin + 0.6}\n")  # type: ignore[union-attr]
        each.stdin.flush()  # type: ignore[union-attr]
    spent = [float(each.communicate()[0]) for each in (answering, worker)]
    # On one processor; others may take their part of it, of both alike.
    assert spent[0] > 4 * spent[1]


def test_nothing_changes_where_none_is_asked() -> None:
    before = [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)]
    assert stand_back(0, 0) == 0
    assert [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)] == before
