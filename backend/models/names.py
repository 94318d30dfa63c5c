"""Which model a name means.

A run found in the store needs this module, so it imports neither torch nor transformers.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tokenarium.backend.models.adapter_files import (
    ADAPTER_CONFIG,
    base_of,
    is_adapter,
)
from tokenarium.backend.models.default import (
    DEFAULT_MODEL,
    HUB_COPY,
    HUB_TITLE,
    PACKAGE,
    TITLE,
)
from tokenarium.backend.models.files import WEIGHTS
from tokenarium.backend.models.gguf.converted import GgufSource
from tokenarium.backend.models.gguf.header import only_file
from tokenarium.backend.models.hub_cache import snapshot
from tokenarium.backend.models.quantised import weights_in_words
from tokenarium.backend.models.refusal import error_words, refusing
from tokenarium.backend.settings import PROJECT, Settings

BUNDLED = {"bundled/target": "Bundled target", "bundled/draft": "Bundled draft"}
STAND_IN = next(iter(BUNDLED))
"""The model that is always here."""
BUNDLED_FOLDER = PROJECT / "assets" / "models"
OFFERED = (DEFAULT_MODEL, *BUNDLED)
"""Models that every list begins with, wherever the application runs."""

LONGEST_NAME = 4_096
_LONGEST_PART_BYTES = 255
_NAME = re.compile(r"[^\x00-\x1f\ud800-\udfff]*")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True)
class ModelSource:
    """Where a model's files are: in a folder, on Hugging Face under an id, or in a GGUF file."""

    name: str
    folder: Path | None
    hub_id: str | None
    title: str
    """As shown in the model picker."""
    gguf: GgufSource | None = None
    """The GGUF file that its folder is converted from."""
    adapter: Path | None = None
    """The folder of a LoRA adapter that is merged into it as it is loaded."""
    refused: str = ""
    """Why it is listed although nothing can be read there; else empty."""

    @property
    def weights(self) -> str:
        """In words what the weights are, where they are a copy that differs from the original."""
        return self.gguf.weights() if self.gguf else weights_in_words(folder(self))


NO_MODEL = ModelSource("", None, None, "no model")
"""What a request is about that reads none."""


def resolve(name: str, settings: Settings) -> ModelSource:
    """Return the model that a name means.

    Args:
        name: smollm2-135m-instruct, bundled/target, bundled/draft, local/NAME, a folder, a .gguf
            file, or org/name on Hugging Face.
        settings: models folder, and in hosted mode the allow-list.
    Raises: ValueError where the name is not allowed or means nothing.
    """
    if not _may_be_name(name):
        shown = repr(name)
        raise ValueError(
            f"model={shown[:60] + '...' if len(shown) > 63 else shown} is no model name: give at "
            f"most {LONGEST_NAME} characters, {_LONGEST_PART_BYTES} bytes between slashes"
        )
    try:
        return _resolve(name, settings)
    except (OSError, RuntimeError) as error:  # a circle of links, a path longer than may be
        raise ValueError(f"model={name!r:.80} is no model name ({error_words(error)})") from error


def _resolve(name: str, settings: Settings) -> ModelSource:
    allowed = (*OFFERED, HUB_COPY, *settings.hosted_models)
    if settings.hosted and name not in allowed:
        raise ValueError(
            f"model={name!r} is not offered here: choose one of {', '.join(allowed)}, or run the "
            "app on your own machine"
        )
    if name == DEFAULT_MODEL:
        gguf = GgufSource(settings.cache_dir.expanduser(), None, PACKAGE.digest)
        return ModelSource(name, None, None, TITLE, gguf)
    if name == HUB_COPY:
        return ModelSource(name, None, name, HUB_TITLE)
    if name.startswith("bundled/"):
        return _bundled(name)
    if name.startswith("local/"):
        return _local(name, settings)
    if name.startswith("~"):
        raise ValueError(f"model={name!r} begins with ~: give the folder's full path")
    if Path(name).is_absolute() or name.startswith(".") or (name and _is_model(Path(name))):
        path = Path(name).resolve()
        return _at(name, path, path.name, settings)
    if not _HUB_ID.fullmatch(name) or ".." in name or "--" in name:
        raise ValueError(
            f"model={name!r} is no model name: use {DEFAULT_MODEL}, bundled/target, "
            "bundled/draft, local/NAME, a folder, a .gguf file, or a Hugging Face id such as "
            "openai-community/gpt2"
        )
    return ModelSource(name, None, name, name)


def _may_be_name(name: object) -> bool:
    """Return whether a file system can be asked for a name at all."""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        return False
    return all(len(part.encode()) <= _LONGEST_PART_BYTES for part in re.split(r"[/\\]", name))


def available(settings: Settings) -> list[ModelSource]:
    """Return the models to offer in a list: the default one, those bundled, and local ones.

    The original of the default model is among them where it is on this machine; in hosted mode
    the allow-list takes the place of local ones.
    """
    names = list(OFFERED)
    if snapshot(HUB_COPY) and HUB_COPY not in settings.hosted_models:
        names.append(HUB_COPY)
    if settings.hosted:
        names += settings.hosted_models
    found = []
    for name in names:
        try:
            found.append(resolve(name, settings))
        except ValueError:
            continue
    return found if settings.hosted else found + _local_models(settings)


def folder(source: ModelSource) -> Path | None:
    """Return where the model's files are on this machine; None if they are not there yet.

    A GGUF file that was not converted yet counts as not there.
    """
    if source.gguf:
        return source.gguf.folder()
    return source.folder or snapshot(source.hub_id or "")


def _bundled(name: str) -> ModelSource:
    if name not in BUNDLED:
        raise ValueError(f"model={name!r} does not exist: bundled are {' and '.join(BUNDLED)}")
    path = BUNDLED_FOLDER / name.removeprefix("bundled/")
    return ModelSource(name, _with_config(name, path), None, BUNDLED[name])


def _local_models(settings: Settings) -> list[ModelSource]:
    """Return the models of the models folder; one that is damaged is among them, refused."""
    models_dir = settings.models_dir
    if not models_dir or not models_dir.is_dir():
        return []
    found = []
    with refusing(f"models_dir={models_dir} cannot be read", "check that it is readable"):
        entries = sorted(models_dir.iterdir())
    for entry in entries:
        # A name that is no UTF-8 could not be sent to a page.
        shown = entry.name.encode("utf-8", "backslashreplace").decode("utf-8")
        name = f"local/{shown}"
        try:
            with refusing(f"{shown} cannot be read", "check that it is whole and readable"):
                found.append(resolve(name, settings))
        except ValueError as error:
            listed = any(os.path.lexists(entry / file) for file in ("config.json", ADAPTER_CONFIG))
            if listed or shown != entry.name:
                found.append(ModelSource(name, None, None, shown, refused=str(error)))
    return found


def _local(name: str, settings: Settings) -> ModelSource:
    models_dir = settings.models_dir
    if models_dir is None:
        raise ValueError(f"model={name!r}, but no models folder is set: start with --models-dir")
    entry = name.removeprefix("local/")
    if not entry or entry.startswith(".") or "/" in entry or "\\" in entry or "\0" in entry:
        raise ValueError(f"model={name!r}: NAME in local/NAME is one folder name, without a path")
    root = models_dir.expanduser().resolve()
    path = (root / entry).resolve()
    if path.parent != root:
        raise ValueError(
            f"model={name!r} leads out of the models folder: put the folder itself there, not a "
            "link to it"
        )
    return _at(name, path, entry, settings)


def _is_model(path: Path) -> bool:
    """Whether a name that may also be a Hugging Face id means something on this machine."""
    if path.suffix == ".gguf":
        return path.is_file()
    named = (path / "config.json").is_file() or is_adapter(path)
    return path.is_dir() and (named or any(path.glob("*.gguf")))


def _at(name: str, path: Path, title: str, settings: Settings) -> ModelSource:
    """Return the model at a path: a folder of transformers', a GGUF file, or a folder with one."""
    file = path if path.is_file() and path.suffix == ".gguf" else None
    if path.is_dir() and not any(path.glob(WEIGHTS)):
        if is_adapter(path):
            return _adapted(name, path, title, settings)
        file = only_file(path)
    if file is None:
        return ModelSource(name, _with_config(name, path), None, title)
    return ModelSource(name, None, None, title, GgufSource(settings.cache_dir.expanduser(), file))


def _adapted(name: str, path: Path, title: str, settings: Settings) -> ModelSource:
    """Return the base of an adapter, with the adapter."""
    wanted = base_of(path, name)
    try:
        _refuse_adapter(wanted, settings)
        base = resolve(wanted, settings)
    except ValueError as error:
        raise ValueError(
            f"{name} is a LoRA adapter for {wanted!r:.80}, which is not at hand ({error!s:.300}): "
            f"set base_model_name_or_path in its {ADAPTER_CONFIG} to the folder or Hugging Face id "
            "of its base, or merge it with PEFT's merge_and_unload and save the result"
        ) from error
    if base.gguf:
        raise ValueError(
            f"{name} is a LoRA adapter for {wanted!r:.80}, which is a GGUF file: set "
            f"base_model_name_or_path in its {ADAPTER_CONFIG} to the folder or Hugging Face id of "
            "the original"
        )
    return ModelSource(name, base.folder, base.hub_id, f"{title} on {base.title}", adapter=path)


def _refuse_adapter(name: str, settings: Settings) -> None:
    """Refuse the name of a base that is an adapter, which could be its own base."""
    folder = Path(name)
    if name.startswith("local/") and settings.models_dir:
        folder = settings.models_dir.expanduser() / name.removeprefix("local/")
    if is_adapter(folder):
        raise ValueError("it is an adapter itself")


def _with_config(name: str, path: Path) -> Path:
    if not (path / "config.json").is_file():
        raise ValueError(
            f"model={name!r} is no folder with a config.json or a .gguf file: check the spelling, "
            "or save the model there with save_pretrained"
        )
    return path
