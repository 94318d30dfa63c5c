"""What goes first on a machine: the program that answers, then the workers that compute."""

import contextlib
import os
from pathlib import Path

MOST = 19
"""The highest niceness there is: some 70 times less of a processor than whoever wants it, too."""


def stand_back(niceness: int) -> int:
    """Let other processes of this machine go before this one, and return its niceness.

    The process leaves its session. Linux may share its processors out by session first, where
    niceness counts among processes of one session only: then the session of this process, which is
    its own, is given the niceness, too.

    Args:
        niceness: 0 to ``MOST``; 0 changes nothing, as does a system that knows no niceness.
    """
    if not niceness or not hasattr(os, "setpriority"):
        return 0
    with contextlib.suppress(PermissionError):  # it leads a group, thus mostly a session, already
        os.setsid()
    # Threads have a niceness each, and those that are there do not follow the process.
    tasks = Path("/proc/self/task")
    threads = [int(task.name) for task in tasks.iterdir()] if tasks.exists() else [0]
    for thread in threads:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpriority(os.PRIO_PROCESS, thread, niceness)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
    return os.getpriority(os.PRIO_PROCESS, 0)
