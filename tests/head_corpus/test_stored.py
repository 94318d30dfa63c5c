"""Texts, the command, what is shipped, and which model's numbers are given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_lab
from tests.ui.test_sentence import words
from tokenarium.backend import Lab, cli, measured_models, usual_heads
from tokenarium.backend.errors import UserError
from tokenarium.backend.head_corpus import measuring
from tokenarium.backend.head_corpus.command import PARTIAL
from tokenarium.backend.head_corpus.corpus import MEASURED, digest, read
from tokenarium.backend.head_corpus.stored import own_folder
from tokenarium.backend.head_corpus.texts import SHIPPED, TEXTS, read_texts
from tokenarium.backend.models.default import DEFAULT_MODEL
from tokenarium.backend.runs.example_texts import LIGHTHOUSE
from tokenarium.ui.components.token_card import token_card
from tokenarium.ui.components.usual_head import usual_head
from tokenarium.ui.shell.selection import Selection

MEMORY = "--database=duckdb:///:memory:"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


def test_what_is_shipped_is_of_the_shipped_texts_and_of_the_examples_model(lab: Lab) -> None:
    run = lab.open("example-first-token")
    corpus = usual_heads(lab.settings, run.environment["fingerprint"])
    assert corpus is not None
    assert corpus.about.model == DEFAULT_MODEL
    assert corpus.about.texts_digest == digest(read_texts())
    low, middle, high = corpus.quantiles
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert (corpus.count <= len(corpus.about.texts)).all()
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*")) < 1_000_000
    # What the stored trace of one of the texts says is where that text is said to be strongest.
    sink, at = MEASURED.index("sink"), corpus.about.texts.index(LIGHTHOUSE)
    strongest = corpus.strongest[sink] == at
    assert (run.result.sink_score[strongest] >= high[sink][strongest] - 1e-3).all()
    distance = np.abs(run.result.sink_score - corpus.mean[sink]) / corpus.deviation[sink]
    assert np.median(distance) < 2


def test_the_command_measures_any_model_and_its_pages_find_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lab: Lab
) -> None:
    texts = tmp_path / "mine.txt"
    texts.write_text("Once upon a time a cat saw a cat.\n\nThe end of a day.\n", "utf-8")
    assert cli.main(["heads", "bundled/draft", f"--texts={texts}", MEMORY]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert folder.parent == own_folder(lab.settings)
    corpus = read(folder)
    assert corpus is not None
    assert corpus.about.texts == ("Once upon a time a cat saw a cat.", "The end of a day.")
    assert [each.model for each in measured_models(lab.settings)] == [
        "bundled/draft",
        DEFAULT_MODEL,
    ]
    assert usual_heads(lab.settings, corpus.about.fingerprint) is not None
    assert usual_heads(lab.settings, "0" * 64) is None


def test_texts_are_lines_or_json_strings_and_nothing_else(tmp_path: Path) -> None:
    lines = tmp_path / "texts.jsonl"
    lines.write_text('"a\\nb"\n\n"c"\n', "utf-8")
    assert read_texts(lines) == ("a\nb", "c")
    lines.write_text('"a"\n{"b": 1}\n', "utf-8")
    with pytest.raises(UserError, match="line 2"):
        read_texts(lines)
    lines.write_text("\n", "utf-8")
    with pytest.raises(UserError, match="has no text"):
        read_texts(lines)
    with pytest.raises(UserError, match="cannot be read"):
        read_texts(tmp_path / "none.txt")
    assert len(set(read_texts(TEXTS))) == 200


def test_the_card_says_what_a_head_does_here_and_usually(lab: Lab) -> None:
    run = lab.open("example-first-token")
    corpus = usual_heads(lab.settings, run.environment["fingerprint"])
    assert corpus is not None
    place = (MEASURED.index("sink"), 3, 5)
    low, usual, high = corpus.quantiles[(slice(None), *place)]
    here = run.result.sink_score[3, 5]
    said = words(usual_head(run.result, corpus, 3, 5))
    wanted = f"usually {usual:.2f} ({low:.2f} to {high:.2f}), here {here:.2f}"
    assert wanted in said
    assert "over 200 texts of" in said
    assert f"heads?model={DEFAULT_MODEL}&amp;layer=3&amp;head=5" in usual_head(
        run.result, corpus, 3, 5
    )
    assert "usual self" not in token_card(run.result, Selection("r", 1).within(run.result))
    other = lab.open("example-small-model").result
    assert usual_head(other, corpus, 0, 0) == ""


def test_an_interrupted_command_says_that_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "mine.txt"
    texts.write_text("Once upon a time.\nThe end of a day.\n", "utf-8")
    one = measuring._one

    def pressed(loaded: Any, text: str, number: int, *others: Any) -> Any:
        if number == 1:
            raise KeyboardInterrupt
        return one(loaded, text, number, *others)

    arguments = ["heads", "bundled/draft", f"--texts={texts}", f"--out={tmp_path}", MEMORY]
    with monkeypatch.context() as patched:
        patched.setattr(measuring, "_one", pressed)
        assert cli.main(arguments) == 2
    assert "goes on where this one stopped" in capsys.readouterr().err
    assert (tmp_path / PARTIAL).exists()
    assert cli.main(arguments) == 0
    assert not (tmp_path / PARTIAL).exists()
    assert read(tmp_path) is not None
