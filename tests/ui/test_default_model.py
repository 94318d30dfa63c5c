"""Pages begin with the default model, whichever model made their example."""

from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import pytest

from tokenarium.backend import DEFAULT_MODEL, Lab, ModelInfo, Settings
from tokenarium.ui.components.sentence import UNMEASURED, pill
from tokenarium.ui.pages import find_pages
from tokenarium.ui.shell.drawing import Asker
from tokenarium.ui.shell.wiring import Wiring

TARGET = "bundled/target"


@pytest.fixture
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Wiring]]:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    labs: list[Lab] = []

    def build(title: str, *, fetch: bool) -> Wiring:
        settings = Settings(
            database="duckdb:///:memory:", device="cpu", hosted=False, fetch=fetch,
            cache_dir=tmp_path / "cache",
        )  # fmt: skip
        labs.append(Lab(settings))
        page = next(page for page in find_pages() if page.title == title)
        with gr.Blocks() as blocks:
            return Wiring(page(labs[-1]), labs[-1], blocks)

    yield build
    for lab in labs:
        lab.close()


def _values(page: Wiring) -> dict[str, object]:
    return {name: part.value for name, part in page.controls.parts.items()}


@pytest.mark.parametrize("title", ["Explore", "Cache", "Speculate"])
def test_a_page_begins_with_the_default_model_beside_any_example(wired, title: str) -> None:
    page = wired(title, fetch=True)
    example = page.lab.examples(page.page.kinds[0].kind)[0]
    assert _values(page)["model"] == DEFAULT_MODEL
    assert _values(page)["text"] == example.request.text
    assert page.parts["facts"].value


def test_speculate_begins_with_a_drafter_that_fits_its_model(wired) -> None:
    page = wired("Speculate", fetch=True)
    asked = page.controls.read(_values(page))
    [request] = page.page.requests(asked)
    assert (request.model, request.drafter.slug, request.beside) == (
        DEFAULT_MODEL,
        "prompt_lookup",
        (),
    )
    race = page.page.sections["race"].requests(asked)
    assert len(race) == 2
    assert [each.beside for each in race] == [(), ()]
    bundled = wired("Speculate", fetch=False)
    example = bundled.lab.examples("speculate")[0].request
    assert bundled.page.requests(bundled.controls.read(_values(bundled))) == [example]


def test_examples_of_the_model_that_stands_in_come_first(wired) -> None:
    ready, alone = (wired("Explore", fetch=fetch).lab.examples("trace") for fetch in (True, False))
    assert ready[0].request.model == DEFAULT_MODEL
    assert [each for each in alone if each.request.model == TARGET] == list(alone[:-2])
    assert sorted(alone, key=ready.index) == list(ready)


def test_a_page_says_which_model_stands_in_and_why(wired) -> None:
    page = wired("Explore", fetch=True)
    assert page.handlers.instead(DEFAULT_MODEL) is None
    failed = {DEFAULT_MODEL: "no network", "HuggingFaceTB/SmolLM2-135M-Instruct": "no hub"}
    page.lab._preselection._failed.update(failed)
    assert page.handlers.instead(DEFAULT_MODEL) == TARGET
    assert page.handlers.instead("local/chosen") is None
    [first, *_] = page.handlers.boot("", {}, Asker(settings={}))
    assert first["model"] == TARGET
    [kept, *_] = page.handlers.boot("", {"model": "local/mine"}, Asker(settings={}))
    assert kept["model"] == "local/mine"
    shown, _ = page.handlers.state(TARGET)
    assert "bundled/target stands in, because: no network" in shown


def test_the_pill_tells_how_far_and_what_the_weights_are() -> None:
    def info(state, detail="", weights="") -> ModelInfo:
        return ModelInfo("m", "M", state, None, None, None, None, None, detail, weights)

    assert "M: downloading x, 34 of 93 MB<" in pill(info("fetching", "downloading x, 34 of 93 MB"))
    copied = pill(info("ready", weights="dequantised 4-bit copy: GGUF, Q4_1, as bfloat16"))
    assert f"Q4_1, as bfloat16</summary>{UNMEASURED}" in copied
    assert UNMEASURED not in pill(info("ready", weights="GGUF, F32"))
    assert "<p" not in pill(info("ready"))
    assert "no &lt;b&gt;" in pill(info("refused", "no <b>"))
