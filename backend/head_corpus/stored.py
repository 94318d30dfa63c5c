"""Measurements of heads that are here: those that come with the application, and one's own."""

from functools import lru_cache
from pathlib import Path

from tokenarium.backend.head_corpus.corpus import ABOUT, HeadCorpus, MeasuredOn, read, read_about
from tokenarium.backend.head_corpus.texts import SHIPPED
from tokenarium.backend.settings import Settings


def own_folder(settings: Settings) -> Path:
    """Return the folder where measurements made here are kept, a folder for each model."""
    return settings.cache_dir.expanduser() / "head_corpus"


def measured_models(settings: Settings) -> tuple[MeasuredOn, ...]:
    """Return what is measured here, by model; one's own comes before what is shipped."""
    found: dict[str, MeasuredOn] = {}
    for folder in _folders(settings):
        about, _ = _about(folder, _written(folder))
        if about is not None:
            found.setdefault(about.fingerprint, about)
    return tuple(sorted(found.values(), key=lambda about: about.model))


def usual_heads(settings: Settings, fingerprint: str) -> HeadCorpus | None:
    """Return what the heads of a model usually do.

    Args:
        fingerprint: of the model, as in ``run.environment``; another model's numbers are never
            given, whatever its name.
    Returns: None where it was not measured.
    """
    for folder in _folders(settings):
        about, written = _about(folder, _written(folder))
        if about is not None and about.fingerprint == fingerprint:
            return _read(folder, written)
    return None


def _folders(settings: Settings) -> list[Path]:
    return [
        about.parent
        for home in (own_folder(settings), SHIPPED)
        for about in sorted(home.glob(f"*/{ABOUT}"))
    ]


def _written(folder: Path) -> int:
    return (folder / ABOUT).stat().st_mtime_ns


@lru_cache(maxsize=64)
def _about(folder: Path, written: int) -> tuple[MeasuredOn | None, int]:
    return read_about(folder), written


@lru_cache(maxsize=4)
def _read(folder: Path, written: int) -> HeadCorpus | None:  # noqa: ARG001 - read anew when it changes
    return read(folder)
