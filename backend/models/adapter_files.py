"""Where an adapter's files are and which base it is for; without torch."""

from pathlib import Path

from tokenarium.backend.models.files import read_object
from tokenarium.backend.models.refusal import ModelRefused

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Return whether a folder has an adapter's configuration."""
    return (folder / ADAPTER_CONFIG).is_file()


def base_of(folder: Path, name: str) -> str:
    """Return the name of the base that an adapter says it is for.

    Raises:
        ModelRefused: if it names none, or has pickled weights only.
    """
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelRefused(
            f"{name} is an adapter without {ADAPTER_WEIGHTS}; only safetensors are read: save it "
            "again with PEFT's save_pretrained"
        )
    base = read_object(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelRefused(
            f"{name} is an adapter whose {ADAPTER_CONFIG} names no base: set "
            "base_model_name_or_path to the folder or id of the model it was trained on"
        )
    return base


def adapter_files(folder: Path | None) -> list[Path]:
    """Return the files of an adapter that determine what it computes."""
    return [] if folder is None else [folder / ADAPTER_CONFIG, folder / ADAPTER_WEIGHTS]
