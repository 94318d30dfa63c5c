"""The kernels compiled for this processor, once, into a private folder of the user's cache."""

import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("attention.c")
SHARED = Path(__file__).with_name("vectors.h")
KERNELS = Path(__file__).parents[2]
VOCAB = KERNELS / "vocab_stats" / "native" / "vocab.c"
CHOSEN = KERNELS / "gather_attention" / "native" / "chosen.c"
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast",
         "-shared", "-fPIC")  # fmt: skip
"""Nothing that lets sums be reordered, or NaN be ignored: it must come out as NaN."""
PROCESSORS = ("-march=native", "-mcpu=native", "")
"""How compilers are asked for all this processor has; each is tried if the one before fails."""
SECONDS = 120


class UnavailableError(Exception):
    """There is no compiled kernel here; the message says why."""


def folder() -> Path:
    """Return the private folder of compiled kernels, made if need be.

    Raises:
        UnavailableError: if it cannot be made, or others may write into it.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    place = Path(cache) / "tokenarium" / "native"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except (OSError, RuntimeError) as error:
        raise UnavailableError(f"no folder to keep a compiled kernel in: {error}") from error
    mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    if not stat.S_ISDIR(found.st_mode) or not mine or found.st_mode & 0o077:
        raise UnavailableError(
            f"{place} is not a folder of this user's alone, so nothing is loaded from it: remove "
            "it, or chmod 700"
        )
    return place


def build() -> Path:
    """Return the compiled kernel, compiled now unless the folder has it.

    Raises:
        UnavailableError: if there is no compiler or no folder, or it does not compile.
    """
    command = _compiler()
    target = folder() / f"attention-{_identity(command)}.so"
    if not target.is_file():
        _compile(command, target)
    return target


def _sources() -> tuple[Path, ...]:
    return SOURCE, VOCAB, CHOSEN


def _compiler() -> list[str]:
    """Return the command of a C compiler: ``CC``'s, or the first that is found."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in [named, *([name] for name in COMPILERS)]:
        found = shutil.which(command[0]) if command else None
        if found is not None:
            return [found, *command[1:]]
    raise UnavailableError(f"no C compiler ({', '.join(COMPILERS)}) was found")


def _identity(command: list[str]) -> str:
    """Return a name for what decides the compiled kernel."""
    said = "\n".join((*command, *FLAGS, torch.__version__, platform.machine(), _processor()))
    written = b"".join(file.read_bytes() for file in (SHARED, *_sources()))
    return hashlib.sha256(written + said.encode()).hexdigest()[:16]


def _processor() -> str:
    """Return the processor's name and what it can do, as far as the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    told = ("model name", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(told)))


def _compile(command: list[str], target: Path) -> None:
    """Compile under another name first: whoever looks finds the whole kernel or none."""
    said = ""
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        made = Path(place) / target.name
        for processor in PROCESSORS:
            flags = [*FLAGS, *([processor] if processor else [])]
            try:
                done = subprocess.run(  # noqa: S603 - the compiler of this machine, no shell
                    [
                        *command,
                        *flags,
                        f"-I{SHARED.parent}",
                        *map(str, _sources()),
                        "-o",
                        str(made),
                        "-lm",
                    ],
                    capture_output=True,
                    text=True,
                    timeout=SECONDS,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise UnavailableError(f"{command[0]} did not compile it: {error}") from error
            if done.returncode == 0 and made.is_file():
                made.replace(target)
                return
            said = said or done.stderr.strip()[:300]
    raise UnavailableError(f"{command[0]} did not compile it: {said}")
