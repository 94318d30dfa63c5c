"""A Space, rehearsed in the steps of its platform: requirements, then the code, then a visitor.

Nothing is installed: what is there already is what ``requirements.txt`` asks for. The code is a
copy of the tracked files that nobody can write to, started by user 1000 with an empty home.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from gradio_client import Client

from tokenarium.backend.settings import PROJECT

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

USER = 1000
START_S = 240.0


@pytest.fixture(scope="module")
def requirements() -> dict[str, str]:
    """Version by package, as ``requirements.txt`` pins it."""
    text = (PROJECT / "requirements.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", text, re.MULTILINE))


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files, where nobody can write."""
    app = tmp_path_factory.mktemp("space") / "app"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in filter(None, tracked.stdout.split("\0")):
        if (PROJECT / name).is_file():  # not what a change here has deleted
            (app / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, app / name)
    for each in [app, *app.rglob("*")]:
        each.chmod(0o555 if each.is_dir() else 0o444)
    for folder in app.parents[:2]:  # pytest's own are for one user
        folder.chmod(0o755)
    return app


def test_requirements_stand_alone(tmp_path: Path) -> None:
    """The platform installs them before a line of the code is there."""
    alone = shutil.copy(PROJECT / "requirements.txt", tmp_path)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "-r", str(alone)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


def test_front_matter_is_complete(requirements: dict[str, str]) -> None:
    _, front, _ = (PROJECT / "README.md").read_text().split("---\n", 2)
    said = yaml.safe_load(front)
    assert (said["sdk"], said["sdk_version"]) == ("gradio", requirements["gradio"])
    assert (PROJECT / said["app_file"]).is_file()
    assert said["python_version"] == "3.11"
    assert len(said["short_description"]) <= 60
    assert said["license"] == "apache-2.0"
    assert said["hf_oauth"] is True
    for name in ("tags", "models", "suggested_hardware", "startup_duration_timeout"):
        assert said[name], name
    assert [each.partition(" ")[0] for each in said["preload_from_hub"]] == said["models"]


@pytest.mark.parametrize("disk", ["mounted", "absent"])
def test_a_space_starts_answers_and_says_whether_runs_last(
    code: Path, tmp_path: Path, disk: str
) -> None:
    home, mounted = tmp_path / "home", tmp_path / "data"
    home.mkdir()
    before = tree(code)
    environment = {"SPACE_ID": "someone/tokenarium", "GRADIO_SERVER_PORT": str(free_port())}
    if disk == "mounted":
        mounted.mkdir()
        environment["TOKENARIUM_DATA_DIR"] = str(mounted)
    with space(code, home, environment) as url:
        page = httpx.get(url, timeout=60).text
        assert ("no lasting disk" in page) == (disk == "absent")
        assert "huggingface.co/spaces/someone/tokenarium?duplicate=true" in page
        said: Any = Client(url, verbose=False).predict(
            model="bundled/target", text="Once upon a time", api_name="/trace"
        )
        assert "Once" in str(said)
    stored = mounted if disk == "mounted" else home / ".cache/tokenarium"
    assert (stored / "runs.duckdb").stat().st_size > 0
    assert tree(code) == before


@contextmanager
def space(code: Path, home: Path, more: dict[str, str]) -> Iterator[str]:
    """Run ``app.py`` as the platform does and yield its address once it is ready."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(code),
        "SYSTEM": "spaces",
        "HF_HUB_OFFLINE": "1",
        "TOKENARIUM_FETCH": "false",
        "OMP_WAIT_POLICY": "passive",
        **more,
    }
    log = home.parent / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [*as_visitor(home), sys.executable, "app.py"],
            cwd=code,
            env=environment,
            stdout=file,
            stderr=file,
        )
    url = f"http://127.0.0.1:{more['GRADIO_SERVER_PORT']}/"
    try:
        wait_until_ready(url, server, log)
        if os.getuid() == 0:
            assert Path(f"/proc/{server.pid}").stat().st_uid == USER
        yield url
    finally:
        server.terminate()
        server.wait(30)


def as_visitor(home: Path) -> list[str]:
    """Return what makes a command that of user 1000, who may read and not write what is here."""
    if os.getuid() != 0:
        return []  # nobody's privileges are here to be given up
    for each in home.parent.iterdir():
        os.chown(each, USER, USER)
    for folder in (home.parent, *home.parent.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    # The interpreter may lie in root's own folder: reading is allowed, writing is not.
    allowed = "+dac_read_search"
    user = ["--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
    return ["setpriv", *user, f"--inh-caps={allowed}", f"--ambient-caps={allowed}"]


def wait_until_ready(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            if httpx.get(f"{url}ready", timeout=5).json() == {"status": "ok"}:
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(0.5)
    pytest.fail(f"the Space is not ready: {log.read_text()[-3000:]}")


def tree(folder: Path) -> dict[Path, int]:
    return {each: each.stat().st_mtime_ns for each in [folder, *folder.rglob("*")]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
