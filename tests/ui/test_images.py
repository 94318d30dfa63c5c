"""Figures from Python: by name as functions, and as files."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import plotly.io
import pytest

import tokenarium
from tests.labs import shipped_lab
from tokenarium import figures
from tokenarium.backend import Lab, Run, UserError
from tokenarium.ui.figures import by_name, image
from tokenarium.ui.figures.catalogue import FIGURES
from tokenarium.ui.figures.marks import marks_csv
from tokenarium.ui.figures.picture import picture


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with shipped_lab() as made:
        yield made


@pytest.fixture(scope="module")
def trace(lab: Lab) -> Run:
    return lab.open("example-first-token")


def test_every_figure_is_a_function_that_says_what_can_be_chosen() -> None:
    names = {name for kinds in FIGURES.values() for name in kinds}
    assert set(dir(figures)) == names
    assert "figures" in dir(tokenarium)
    for name in names:
        drawn = getattr(figures, name)
        assert drawn.__name__ == name
        known = inspect.signature(drawn).parameters
        assert next(iter(known)) == "run"
        for choice in [*known][1:]:
            assert f"    {choice}: {by_name.CHOICES[choice]}" in drawn.__doc__
        assert drawn.__doc__[0].isupper()
        assert all(kind in drawn.__doc__ for kind, own in FIGURES.items() if name in own)


def test_a_function_draws_what_the_run_draws(trace: Run, lab: Lab) -> None:
    assert figures.sinks(trace, threshold=0.5) == trace.figure("sinks", threshold=0.5)
    cache = lab.open("example-what-is-kept")
    assert figures.time(cache) == cache.figure("time")
    with pytest.raises(UserError, match="a run of kind cache has"):
        figures.sinks(cache)
    with pytest.raises(UserError, match="'sinks' has threshold, length"):
        figures.sinks(trace, head=1)
    with pytest.raises(AttributeError, match=r"figure='nope' is unknown: choose attention"):
        figures.nope  # noqa: B018


def test_a_figure_is_saved_as_its_marks(trace: Run, tmp_path: Path) -> None:
    found = trace.save(tmp_path / "sinks.csv", figure="sinks", threshold=0.5)
    assert found.read_text("utf-8") == marks_csv(trace.figure("sinks"))
    norms = trace.save(tmp_path / "n.csv", figure="norms", layer=2).read_text("utf-8")
    assert "layer 2" in norms.splitlines()[-1]


def test_a_picture_says_what_it_is_of(trace: Run) -> None:
    figure = trace.figure("received")
    before = figure.to_json()
    made = picture(trace, figure)
    assert figure.to_json() == before
    below = made.layout.annotations[-1].text
    for part in (
        "Prompt: “The old lighthouse",
        "smollm2-135m-instruct",
        "seed 0",
        f"run {trace.id}",
    ):
        assert part in below
    assert made.layout.title.text == "Attention received by every token, log scale"
    assert made.layout.paper_bgcolor == "#fff"
    # It stands below what the figure itself had under its axis.
    assert -made.layout.margin.b < made.layout.annotations[-1].yshift < -figure.layout.margin.b


def test_what_is_missing_for_a_picture_is_said_in_words(
    trace: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sinks.svg"
    with pytest.raises(UserError, match=r"name it, figure=\.\.\. of sinks, heads"):
        trace.save(path)
    with pytest.raises(UserError, match=r"a run of kind trace has sinks"):
        trace.save(path, figure="sinkz")
    monkeypatch.setattr(image, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tokenarium\[pictures\]'"):
        trace.save(path, figure="sinks")
    monkeypatch.setattr(image, "find_spec", lambda name: object())
    monkeypatch.setattr(plotly.io, "to_image", no_chrome)
    with pytest.raises(UserError, match=r"kaleido draws with Chrome .* BROWSER_PATH"):
        trace.save(path, figure="sinks")
    assert not path.exists()
    with pytest.raises(UserError, match=r"figure='sinks' with format='json': .* svg, png or csv"):
        trace.save(tmp_path / "a.json", figure="sinks")
    with pytest.raises(UserError, match=r"format='pdf' is unknown: choose .*ipynb.*, svg, png"):
        trace.save(tmp_path / "a.pdf", figure="sinks")


def no_chrome(*_: object, **__: object) -> bytes:
    raise RuntimeError("Kaleido requires Google Chrome to be installed.")


@pytest.mark.external
def test_kaleido_draws_a_picture_with_its_words(trace: Run, tmp_path: Path) -> None:
    svg = trace.save(tmp_path / "sinks.svg", figure="sinks").read_text("utf-8")
    words = " ".join(ElementTree.fromstring(svg).itertext()).replace("\xa0", " ")
    assert "Prompt: “The old lighthouse" in words
    assert "Sink score by layer and head" in words
    png = trace.save(tmp_path / "sinks.png", figure="sinks").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert "kaleido" in sys.modules
