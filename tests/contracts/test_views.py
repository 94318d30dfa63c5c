"""Every view draws runs of every architecture, of any length, in a message a page can load."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.labs import shipped_store
from tests.models.conftest import save_model
from tests.pairwise import covering
from tests.ui.browser_stub import Visit
from tests.ui.hand_made import trace as hand_made
from tests.ui.hand_made import unfinished
from tokenarium.backend import Lab, Run, Settings, TraceRequest, TraceResult
from tokenarium.backend.settings import PROJECT
from tokenarium.ui.pages.explore import Explore
from tokenarium.ui.shell.panel import Scene
from tokenarium.ui.shell.selection import Selection

FAMILIES = ("llama", "gpt2", "qwen3", "mistral", "gemma2", "gpt_oss")
SLUGS = [view.slug for view in Explore.views]
CASES = covering(
    list(product(FAMILIES, SLUGS, (1, 90))),
    lambda family, slug, length: (slug, length),
    lambda family, slug, length: (family, length),
    lambda family, slug, length: (slug, FAMILIES.index(family) // 2),
)
"""Every view and every family with both lengths, every view with three families."""
LARGEST_MESSAGE = 400_000
STORIES = PROJECT.parent / "shared/data/models/stories3m"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        save_model(folder / family, family)
    settings = Settings(database=shipped_store(), models_dir=folder, device="cpu", hosted=False)
    with Lab(settings) as made:
        yield made


@pytest.fixture(scope="module")
def read(lab: Lab) -> Callable[[str, int], Run]:
    """Read so many letters with a model, once."""
    runs: dict[tuple[str, int], Run] = {}

    def run(family: str, length: int) -> Run:
        if (family, length) not in runs:
            letters = "".join(map(chr, 65 + np.random.default_rng(length).integers(0, 26, length)))
            asked = TraceRequest(model=f"local/{family}", text=letters)
            runs[family, length] = lab.run(asked)
        return runs[family, length]

    return run


@pytest.fixture(scope="module")
def explore(lab: Lab) -> Visit:
    return Visit(lab, Explore)


def too_large(values: dict[str, Any]) -> dict[str, int]:
    sizes = {name: len(value) for name, value in values.items() if isinstance(value, str)}
    return {name: size for name, size in sizes.items() if size > LARGEST_MESSAGE}


@pytest.mark.parametrize(("family", "slug", "length"), CASES)
def test_every_view_draws_every_architecture(
    explore: Visit, read: Callable[[str, int], Run], family: str, slug: str, length: int
) -> None:
    view = explore.page.tabs[slug]
    explore.told["view"] = slug
    found = explore.open(read(family, length).id)
    assert found.get("status", "") == ""
    assert set(found) >= view.parts.keys() - view.controls.keys()
    assert "alert" not in " ".join(str(found.get(name) or "")[:2000] for name in view.parts)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_view_of_32768_tokens_is_a_message_a_page_can_load(explore: Visit, slug: str) -> None:
    result = hand_made(32_768, tiles=64)
    view = explore.page.tabs[slug]
    request = TraceRequest(model="local/llama", text="x")
    scene = Scene(result, request, Selection(run=None).within(result))
    assert too_large(view.draw(scene)) == {}


@pytest.mark.parametrize("slug", SLUGS)
def test_a_part_of_a_run_is_drawn_too(explore: Visit, slug: str) -> None:
    result = unfinished(70)
    view = explore.page.tabs[slug]
    request = TraceRequest(model="local/llama", text="x")
    found = view.draw(Scene(result, request, Selection().within(result)))
    assert set(found) >= view.parts.keys() - view.controls.keys()


@pytest.mark.external
def test_every_view_draws_a_model_of_someone_else() -> None:
    if not STORIES.is_dir():
        pytest.skip(f"{STORIES} is not there")
    settings = Settings(database="duckdb:///:memory:", models_dir=STORIES.parent, hosted=False)
    with Lab(settings) as lab:
        text = "Once upon a time there was a little girl who liked to play in the park. " * 12
        run = lab.run(TraceRequest(model="local/stories3m", text=text))
        assert isinstance(run.result, TraceResult)
        explore = Visit(lab, Explore)
        for slug, view in explore.page.tabs.items():
            explore.told["view"] = slug
            found = explore.open(run.id)
            assert found.get("status", "") == ""
            assert set(found) >= view.parts.keys() - view.controls.keys()
            assert too_large(found) == {}
