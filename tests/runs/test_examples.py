import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tokenarium.backend.runs.examples as examples
from tokenarium.backend.errors import UserError
from tokenarium.backend.runs.events import Finished
from tokenarium.backend.runs.lab import Lab

MakeLab = Callable[..., Lab]


@pytest.fixture
def shipped(tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Examples computed by the real code, on the tiny model in place of the bundled one."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "target").symlink_to(models_dir / "tiny")
    monkeypatch.setattr("tokenarium.backend.models.names.BUNDLED_FOLDER", bundle)
    short = tuple(
        examples.Example(e.slug, e.title, e.teaser, e.text[:60]) for e in examples.EXAMPLES
    )
    monkeypatch.setattr(examples, "EXAMPLES", short)
    monkeypatch.setattr(examples, "CACHE_EXAMPLES", ())
    monkeypatch.setattr(examples, "SPECULATE_EXAMPLES", ())
    monkeypatch.setattr(examples, "FOLDER", tmp_path / "examples")
    examples.main(tmp_path / "examples")
    return tmp_path / "examples"


def test_examples_are_shared_pinned_and_served_without_computing(
    shipped: Path, make_lab: MakeLab
) -> None:
    lab = make_lab()
    assert lab.examples() == examples.EXAMPLES
    shown = lab.example()
    assert shown.id == f"example-{examples.EXAMPLES[0].slug}"
    assert lab.open(examples.EXAMPLES[2].run_id).request == examples.EXAMPLES[2].request
    [event] = lab.stream(examples.EXAMPLES[0].request)
    assert isinstance(event, Finished)
    assert event.run.cached
    assert event.run.id == shown.id
    assert all(record.pinned and record.owner == "" for record in lab.search())
    assert len(lab.search()) == len(examples.EXAMPLES)


def test_examples_are_served_to_visitors(shipped: Path, make_lab: MakeLab) -> None:
    hosted = make_lab(hosted=True)
    assert hosted.run(examples.EXAMPLES[1].request, visitor="anna").cached


def test_examples_come_back_bit_by_bit(shipped: Path, make_lab: MakeLab) -> None:
    example = examples.EXAMPLES[0]
    lab = make_lab(database="duckdb:///:memory:")
    read, stored = examples.read(example, shipped), lab.example()
    assert read.request == stored.request == example.request
    assert read.result.facts() == stored.result.facts()
    assert read.created == stored.created
    for name, array in read.result.arrays().items():
        np.testing.assert_array_equal(stored.result.arrays()[name], array)


def test_examples_are_installed_once_and_replaced_when_newer_ones_are_shipped(
    shipped: Path, make_lab: MakeLab
) -> None:
    first = make_lab()
    before = first.example().created
    first.close()
    second = make_lab()
    assert second.example().created == before
    assert len(second.search()) == len(examples.EXAMPLES)
    second.close()
    examples.main(shipped)
    third = make_lab()
    assert third.example().created > before
    assert len(third.search()) == len(examples.EXAMPLES)


def test_damaged_example_is_left_out(
    shipped: Path, make_lab: MakeLab, caplog: pytest.LogCaptureFixture
) -> None:
    slugs = [example.slug for example in examples.EXAMPLES]
    (shipped / f"{slugs[0]}.npz").write_bytes(b"PK\x03\x04 no archive")
    described = json.loads((shipped / f"{slugs[1]}.json").read_text())
    del described["facts"]["sink_rate"]
    (shipped / f"{slugs[1]}.json").write_text(json.dumps(described))
    lab = make_lab()
    assert [example.slug for example in lab.examples()] == slugs[2:]
    assert caplog.text.count("is left out") == 2


def test_absence_of_examples_is_said(make_lab: MakeLab) -> None:
    lab = make_lab()
    assert lab.examples() == ()
    with pytest.raises(UserError, match="make examples"):
        lab.example()


def test_example_texts_are_distinct_and_make_good_chips() -> None:
    assert len({example.slug for example in examples.EXAMPLES}) == len(examples.EXAMPLES) == 3
    for example in examples.EXAMPLES:
        assert 300 < len(example.text) < 600
        assert len(example.title) <= 24
        assert example.teaser.endswith((".", "?"))
