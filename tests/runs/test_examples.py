import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.runs.later import MARGIN, with_margin
from tokenarium.backend.runs import examples, make_examples
from tokenarium.backend.runs.events import Finished
from tokenarium.backend.runs.example_texts import LIGHTHOUSE
from tokenarium.backend.runs.kind import KINDS
from tokenarium.backend.runs.lab import Lab
from tokenarium.backend.runs.run import Run
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.result import TraceResult

MakeLab = Callable[..., Lab]
EXAMPLES = KINDS.find("trace").examples


@pytest.fixture
def shipped(tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Examples computed by the real code, on the tiny model in place of the bundled one."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "target").symlink_to(models_dir / "tiny")
    monkeypatch.setattr("tokenarium.backend.models.names.BUNDLED_FOLDER", bundle)
    short = tuple(
        dataclasses.replace(
            example,
            request=TraceRequest(model="bundled/target", text=LIGHTHOUSE[number:60]),
        )
        for number, example in enumerate(EXAMPLES)
    )
    monkeypatch.setattr(examples, "declared", lambda: short)
    monkeypatch.setattr(make_examples, "declared", lambda: short)
    monkeypatch.setattr(examples, "FOLDER", tmp_path / "examples")
    make_examples.main(folder=tmp_path / "examples")
    return tmp_path / "examples"


def first_of(lab: Lab) -> Run:
    return lab.open(lab.examples("trace")[0].run_id)


def test_examples_are_shared_pinned_and_served_without_computing(
    shipped: Path, make_lab: MakeLab
) -> None:
    lab = make_lab()
    assert lab.examples("trace") == examples.declared()
    shown = first_of(lab)
    assert shown.id == f"example-{EXAMPLES[0].slug}"
    assert lab.open(EXAMPLES[2].run_id).request == examples.declared()[2].request
    [event] = lab.stream(examples.declared()[0].request)
    assert isinstance(event, Finished)
    assert event.run.cached
    assert event.run.id == shown.id
    assert all(record.pinned and record.owner == "" for record in lab.search())
    assert len(lab.search()) == len(EXAMPLES)


def test_examples_are_served_to_visitors(shipped: Path, make_lab: MakeLab) -> None:
    hosted = make_lab(hosted=True)
    assert hosted.run(examples.declared()[1].request, visitor="anna").cached


def test_examples_come_back_bit_by_bit(shipped: Path, make_lab: MakeLab) -> None:
    example = examples.declared()[0]
    lab = make_lab(database="duckdb:///:memory:")
    read, stored = examples.read(example, shipped), first_of(lab)
    assert read.request == stored.request == example.request
    assert read.result.facts() == stored.result.facts()
    assert read.created == stored.created
    for name, array in read.result.arrays().items():
        np.testing.assert_array_equal(stored.result.arrays()[name], array)


def test_examples_are_installed_once_and_replaced_when_newer_ones_are_shipped(
    shipped: Path, make_lab: MakeLab
) -> None:
    first = make_lab()
    before = first_of(first).created
    first.close()
    second = make_lab()
    assert first_of(second).created == before
    assert len(second.search()) == len(EXAMPLES)
    second.close()
    make_examples.main(folder=shipped)
    third = make_lab()
    assert first_of(third).created > before
    assert len(third.search()) == len(EXAMPLES)


def test_damaged_example_is_left_out(
    shipped: Path, make_lab: MakeLab, caplog: pytest.LogCaptureFixture
) -> None:
    slugs = [example.slug for example in EXAMPLES]
    (shipped / f"{slugs[0]}.npz").write_bytes(b"PK\x03\x04 no archive")
    described = json.loads((shipped / f"{slugs[1]}.json").read_text())
    del described["facts"]["sink_rate"]
    (shipped / f"{slugs[1]}.json").write_text(json.dumps(described))
    lab = make_lab()
    assert [example.slug for example in lab.examples("trace")] == slugs[2:]
    assert caplog.text.count("is left out") == 2


def test_absence_of_examples_is_said(make_lab: MakeLab) -> None:
    lab = make_lab()
    assert lab.examples("trace") == ()


def test_example_texts_are_distinct_and_make_good_chips() -> None:
    assert len({example.slug for example in EXAMPLES}) == len(EXAMPLES) == 5
    for example in EXAMPLES:
        said = example.request.text or "".join(turn.content for turn in example.request.messages)
        assert 150 < len(said) < 600
        assert len(example.title) <= 24
        assert example.teaser.endswith((".", "?"))


def test_stored_example_of_an_older_version_gives_way_to_the_shipped_one(
    shipped: Path, make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lab().close()
    trace = KINDS.find("trace")
    new = with_margin(trace, monkeypatch)
    for example in examples.declared():
        file = shipped / f"{example.slug}.json"
        described = json.loads(file.read_text())
        described["environment"]["schema_version"] = new.schema_version
        described["facts"]["margin"] = MARGIN
        file.write_text(json.dumps(described))
    lab = make_lab()
    assert first_of(lab).result.margin == MARGIN
    assert len(lab.search()) == len(EXAMPLES)


def test_example_that_is_measured_again_stays(
    shipped: Path, make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_lab()
    with_margin(KINDS.find("trace"), monkeypatch)
    assert first_of(first).missing == ("margin",)
    measured = first.open(first_of(first).id, needs=("margin",))
    first.close()
    again = first_of(make_lab())
    assert (again.created, again.result.margin) == (measured.created, MARGIN)


def test_examples_that_mean_something_else_today_are_left_out(
    shipped: Path, make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_lab().close()
    monkeypatch.setattr(TraceResult, "schema_version", 9)
    monkeypatch.setattr(TraceResult, "oldest_readable", 9)
    assert make_lab().examples("trace") == ()
