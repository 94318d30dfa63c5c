"""The log as JSON: one line a record, every run in it, and nothing that a visitor wrote."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenarium.backend import Lab, Settings, TraceRequest, UserError, json_log

SECRET = "a-visitors-own-words"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    before = logging.root.handlers[:], logging.root.level, warnings.showwarning
    json_log.begin()
    yield written
    logging.captureWarnings(capture=False)
    logging.root.handlers[:], level, warnings.showwarning = before
    logging.root.setLevel(level)
    logging.getLogger(json_log.OWN).setLevel(logging.NOTSET)


def read(written: io.StringIO) -> list[dict[str, object]]:
    assert SECRET not in written.getvalue()
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_runs_are_logged_by_kind_model_and_seconds_without_their_text(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tokenarium.backend.runs.examples.FOLDER", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with Lab(Settings(database="duckdb:///:memory:", device="cpu", fetch=False)) as lab:
        asked = TraceRequest(model="bundled/target", text=f"Once {SECRET}")
        lab.run(asked)
        assert lab.run(asked).cached
        with pytest.raises(UserError, match=SECRET):
            lab.run(TraceRequest(model=f"no/{SECRET}", text=SECRET))
    found = [line for line in read(lines) if line["message"] == "run"]
    assert [(line["outcome"], line["model"]) for line in found] == [
        ("computed", "bundled/target"),
        ("stored", "bundled/target"),
        ("refused", ""),
    ]
    assert {line["kind"] for line in found} == {"trace"}
    assert found[0]["run_s"] > 0 <= found[0]["waited_s"]
    assert found[0]["level"] == "info"
    assert found[0]["time"].endswith("+00:00")


def test_what_other_libraries_say_stands_without_its_values(lines: io.StringIO) -> None:
    other = logging.getLogger("another.library")
    other.warning("%d tokens of %s", 5, SECRET)
    other.warning(f"no {SECRET}")
    warnings.warn(SECRET, stacklevel=1)
    try:
        raise KeyError(SECRET)
    except KeyError:
        other.exception("failed on %s", SECRET)
    found = read(lines)
    assert [line["message"] for line in found][::3] == ["%d tokens of %s", "failed on %s"]
    assert str(found[1]["message"]).startswith("test_json_log.py:")
    assert found[2]["logger"] == "py.warnings"
    assert found[3]["error"] == "KeyError"
    assert str(found[3]["at"][0]).startswith("test_json_log.py:")


def test_a_thread_that_ends_by_an_error_is_one_line(lines: io.StringIO) -> None:
    def fail() -> None:
        raise RuntimeError(f"{SECRET}\nand more")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    [line] = read(lines)
    assert (line["level"], line["error"]) == ("error", "RuntimeError")
