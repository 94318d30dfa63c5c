"""Where trained draft heads lie: of the user's own, and shipped ones."""

from collections.abc import Iterator
from pathlib import Path

from tokenarium.backend.settings import Settings

SHIPPED = Path(__file__).resolve().parents[2] / "assets" / "heads"
WEIGHTS = ("head.safetensors", "adapter.safetensors", "model.safetensors")
"""What weights are called: of our heads, of our adapters, and in the format of speculators."""


def own_folder() -> Path:
    """Return the folder where heads of the user's own are looked for, a folder for each."""
    return Settings().cache_dir.expanduser() / "draft_heads"


def every() -> Iterator[Path]:
    """Yield every folder with a head, the user's own before shipped ones, each by name."""
    for place in (own_folder(), SHIPPED):
        if place.is_dir():
            for folder in sorted(place.iterdir()):
                if (folder / "config.json").is_file() and any(_weights(folder)):
                    yield folder


def files() -> tuple[Path, ...]:
    """Return every file that decides which head drafts, and how."""
    return tuple(file for folder in every() for file in (folder / "config.json", *_weights(folder)))


def _weights(folder: Path) -> Iterator[Path]:
    return (folder / name for name in WEIGHTS if (folder / name).is_file())
