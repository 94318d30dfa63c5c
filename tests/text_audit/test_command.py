"""The command ``audit``: a line and an exit status for every file."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.text_audit.conftest import MODEL, PROMPT, Writes
from tokenarium.backend import cli

OPTIONS = ["--database", "duckdb:///:memory:", "--device", "cpu"]


def written(tmp_path: Path, *lines: dict[str, Any]) -> str:
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": PROMPT, **line}) for line in lines))
    return str(file)


def test_the_status_is_that_of_the_worst_text(
    writes: Writes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ids = writes(12)
    right = {"model": MODEL, "token_ids": ids}
    wrong = {**right, "token_ids": [*ids[:3], 9]}
    unsure = {**right, "sampling": {"temperature": 1}, "token_ids": ids[:2]}
    beyond = {**right, "token_ids": [10**6], "id": "far"}
    for lines, status in (
        ((right, right), 0),
        ((right, unsure), 3),
        ((unsure, beyond), 2),
        ((unsure, beyond, wrong), 1),
    ):
        assert cli.main(["audit", written(tmp_path, *lines), *OPTIONS]) == status
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "line 1: equal, 12 tokens"
    assert said[-1].startswith("line 3: wrong, 4 tokens; token 3 is")
    assert any(line.startswith("far: unreadable: token_ids[0]=1000000 is out") for line in said)


def test_reports_are_one_page_and_json(
    writes: Writes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, page = tmp_path / "reports.json", tmp_path / "report.html"
    asked = ["audit", written(tmp_path, {"token_ids": writes(12)}), "--model", MODEL]
    assert cli.main([*asked, "--json", str(file), "--html", str(page), *OPTIONS]) == 0
    (report,) = json.loads(file.read_text())
    assert report["values"]["verdict"] == "equal"
    assert report["definitions"]["gap_nats"]["unit"] == "nats"
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no JSON object a line"),
        ("{", "has no JSON object a line"),
        ('{"token_ids": []}', "none of token_ids, text, tokens and rounds"),
        ('{"token_ids": [1], "prompt": ""}', "unreadable"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_two(
    tmp_path: Path, content: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(content)
    assert cli.main(["audit", str(file), "--model", MODEL, *OPTIONS]) == 2
    said = capfd.readouterr()
    assert words in said.err + said.out
    assert "Traceback" not in said.err


def test_a_file_that_is_not_there_ends_with_two(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "/nowhere/texts.jsonl", *OPTIONS]) == 2
    assert "cannot be read" in capfd.readouterr().err
