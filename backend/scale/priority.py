"""What goes first on a machine: the program that answers, then the workers that compute."""

import contextlib
import os
from pathlib import Path


def stand_back(niceness: int, before: int) -> int:
    """Let a program of this machine go before this process, and return this one's niceness.

    Linux may share its processors out by session first, where niceness counts among the processes
    of one session only (autogroup). Where the program is in another session, that of this process
    is given the niceness, too: beside workers it holds what started them, which needs little.

    Args:
        niceness: 0 to 19; 0 changes nothing, as does a system that knows no niceness.
        before: session of the program that goes first.
    """
    if not niceness or not hasattr(os, "setpriority"):
        return 0
    # Threads have a niceness each, and those that are there do not follow the process.
    tasks = Path("/proc/self/task")
    threads = [int(task.name) for task in tasks.iterdir()] if tasks.exists() else [0]
    for thread in threads:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            own = os.getpriority(os.PRIO_PROCESS, thread)  # Ray has given it some
            os.setpriority(os.PRIO_PROCESS, thread, max(own, niceness))
    if os.getsid(0) != before:
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
    return os.getpriority(os.PRIO_PROCESS, 0)
