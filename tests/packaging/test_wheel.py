"""The wheel, installed where nothing of the checkout is: outside it, beside another ``kernels``."""

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenarium.backend.settings import PROJECT

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.duckdb*")
TRACE = """
import kernels
import tokenarium
from tokenarium import Lab, Settings, TraceRequest
from tokenarium.kernels import attention_stats

with Lab(Settings(database="duckdb:///:memory:")) as lab:
    run = lab.run(TraceRequest(model="bundled/target", text="Once upon a time"))
print(kernels.WHOSE, len(run.result.token_text), tokenarium.__file__, attention_stats.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources in which an older build was left."""
    source = tmp_path_factory.mktemp("source") / "anything"
    shutil.copytree(PROJECT, source, ignore=NOT_SOURCE)
    left = source / "build/lib/tokenarium/backend/removed_since.py"
    left.parent.mkdir(parents=True)
    left.write_text("")
    target = tmp_path_factory.mktemp("wheel")
    offline = "HOW=--no-build-isolation"
    run(["make", "wheel", f"PYTHON={sys.executable}", f"WHEELS={target}", offline], cwd=source)
    [built] = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The ``bin`` of an environment with the wheel alone; it sees what the wheel needs."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", folder], cwd=folder)
    binaries = folder / "bin"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    theirs = packages / "kernels"
    theirs.mkdir()
    (theirs / "__init__.py").write_text('WHOSE = "theirs"\n')
    # Not as a site folder: the checkout's own installation in it is not to be followed.
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", binaries / "python", "install"]
    run([*install, "--quiet", "--no-index", "--no-deps", "--no-compile", wheel], cwd=folder)
    return binaries


def run(command: list[object], cwd: Path) -> str:
    """Run a command as nobody's checkout, and return what it prints."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=bare(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def bare() -> dict[str, str]:
    """The environment without paths to this checkout, and without a model hub."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"HF_HUB_OFFLINE": "1"}


def test_the_wheel_holds_the_sources_and_their_files_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"tokenarium"}
    tracked = run(["git", "ls-files", "backend", "kernels", "storage", "ui", "assets"], PROJECT)
    expected = {name for name in tracked.splitlines() if not name.startswith("assets/images/")}
    held = {name.removeprefix("tokenarium/") for name in names if ".dist-info/" not in name}
    assert held - {"__init__.py", "app.py", "figures.py"} == expected


def test_the_wheel_asks_for_ranges(wheel: Path) -> None:
    """An exact version would keep it from standing beside anything else."""
    with zipfile.ZipFile(wheel) as file:
        [name] = [name for name in file.namelist() if name.endswith("/METADATA")]
        lines = file.read(name).decode().splitlines()
    asked = [line for line in lines if line.startswith("Requires-Dist:") and "extra" not in line]
    assert len(asked) > 10
    assert [line for line in asked if "==" in line or "<" not in line or ">=" not in line] == []


def test_the_wheel_runs_beside_another_package_named_kernels(environment, tmp_path) -> None:
    said = run([environment / "python", "-c", TRACE], tmp_path).split()
    assert said[:2] == ["theirs", "5"]
    assert all(Path(path).is_relative_to(environment.parent) for path in said[2:])


def test_the_wheel_brings_a_command(environment, tmp_path) -> None:
    assert "--database" in run([environment / "tokenarium", "--help"], tmp_path)
    trace = [environment / "tokenarium", "run", "trace", "--text", "Once upon a time"]
    trace += ["--model", "bundled/target"]
    assert "token_text" in run([*trace, "--database", "duckdb:///:memory:"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_serves_the_page_with_its_scripts_and_models(environment, tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [environment / "tokenarium", "--port", port, "--database", "duckdb:///:memory:"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [str(part) for part in command], cwd=tmp_path, env=bare(), stdout=log, stderr=log
        )
    try:
        page = fetched(f"http://127.0.0.1:{port}/", server, tmp_path / "log")
        assert "Tokenarium" in page
        config = fetched(f"http://127.0.0.1:{port}/config", server, tmp_path / "log")
        assert "bundled/target" in config
    finally:
        server.terminate()
        server.wait(20)


def fetched(address: str, server: subprocess.Popen[bytes], log: Path) -> str:
    """Return what an address serves, once the server is up."""
    end = time.monotonic() + 240
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert answer.status == 200
                return answer.read().decode()
        except ConnectionError:
            time.sleep(0.5)
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])
