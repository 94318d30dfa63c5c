"""Which vocabulary a name means, read once: a model's, a file's, or one that a visitor gave."""

import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from tokenizers import Tokenizer

from tokenarium.backend.models.default import HUB_COPY
from tokenarium.backend.models.files import regular_size
from tokenarium.backend.models.names import OFFERED, ModelSource, folder, resolve
from tokenarium.backend.models.refusal import ModelRefused, refusing
from tokenarium.backend.settings import Settings
from tokenarium.backend.tokenization.engine import Engine, InProcess, Isolated
from tokenarium.backend.tokenization.tiktoken_file import SUFFIX, tokenizer_json
from tokenarium.backend.tokenization.vocabulary import Vocabulary, vocabulary_of

GIVEN = "given/"
LARGEST_BYTES = 64 * 2**20
HOSTED_LARGEST_BYTES = 16 * 2**20
MOST_KEPT = 12
MOST_GIVEN = 16
_FILE = "tokenizer.json"


class VocabularyShelf:
    """Vocabularies by name; safe to use from many threads.

    Args:
        settings: where models are, and what the current mode allows.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[str, int, int], Vocabulary] = OrderedDict()
        self._given: OrderedDict[str, Vocabulary] = OrderedDict()

    def give(self, state: str, title: str) -> Vocabulary:
        """Keep a tokenizer that somebody has, in memory, and return it; its name is its content.

        Args:
            state: a tokenizer.json as text.
            title: for people, such as the name of the file.

        Raises:
            ValueError: if it is too large or cannot be read.
        """
        most = HOSTED_LARGEST_BYTES if self._settings.hosted else LARGEST_BYTES
        if len(state) > most:
            raise ValueError(
                f"{title[:60]} has {len(state):,} characters: at most {most:,} are read here"
            )
        shown = " ".join(title.split())[:60] or _FILE
        made = vocabulary_of(state, "", shown, Isolated(state, shown))
        name = GIVEN + made.digest[:16]
        made = vocabulary_of(state, name, shown, Isolated(state, shown))
        made.engine.encode(["a"])  # that it can be read at all is found out here
        with self._lock:
            self._given[name] = made
            while len(self._given) > MOST_GIVEN:
                self._given.popitem(last=False)
        return made

    def keep(self, made: Vocabulary) -> Vocabulary:
        """Keep a tokenizer that was trained here, as one that was given."""
        with self._lock:
            self._given[made.name] = made
            while len(self._given) > MOST_GIVEN:
                self._given.popitem(last=False)
        return made

    def get(self, name: str) -> Vocabulary:
        """Return the vocabulary that a name means; no weights are read.

        Args:
            name: of a model, ``given/...`` of one that was given, or outside hosted mode the path
                of a tokenizer.json, its folder, or a file of tiktoken named by its encoding.

        Raises:
            ValueError: if there is none, or it cannot be read, with the remedy.
        """
        if name.startswith(GIVEN):
            with self._lock:
                found = self._given.get(name)
            if found is None:
                raise ValueError(
                    f"tokenizer={name!r} is not here any more: give its tokenizer.json again"
                )
            return found
        file, title = self._file_of(name)
        with refusing(f"{name} has no tokenizer that can be read", f"check its {_FILE}"):
            size, changed = regular_size(file), file.stat().st_mtime_ns
            if size > LARGEST_BYTES:
                raise ModelRefused(
                    f"{file.name} of {name} has {size:,} bytes: at most {LARGEST_BYTES:,} are read"
                )
            key = (f"{name}\0{file}", size, changed)
            with self._lock:
                if key in self._read:
                    self._read.move_to_end(key)
                    return self._read[key]
            made = _made(_state(file), name, title)
        with self._lock:
            self._read[key] = made
            while len(self._read) > MOST_KEPT:
                self._read.popitem(last=False)
        return made

    def _file_of(self, name: str) -> tuple[Path, str]:
        path = Path(name)
        if not self._settings.hosted and path.is_absolute():
            if path.suffix in (".json", SUFFIX):
                if not path.is_file():
                    raise ValueError(f"tokenizer={name!r} is no file: check the path")
                return path, path.stem
            if (path / _FILE).is_file():
                return path / _FILE, path.name
        source = resolve(name, self._settings)
        home = folder(source)
        file = home / _FILE if home else self._fetched(source)
        if file is None or not file.is_file():
            raise ValueError(_absent(source, home))
        return file, source.title

    def _fetched(self, source: ModelSource) -> Path | None:
        """Return the tokenizer.json of a model on Hugging Face, its weights left there."""
        if source.gguf or not source.hub_id or not self._settings.fetch:
            return None
        from huggingface_hub import hf_hub_download

        with suppress(Exception):  # whatever is wrong with it, it is not there
            return Path(hf_hub_download(source.hub_id, _FILE))
        return None


def _state(file: Path) -> str:
    """Return the tokenizer.json of a file."""
    if file.suffix == SUFFIX:
        return tokenizer_json(file.read_bytes(), file.stem)
    return file.read_text(encoding="utf-8")


def _made(state: str, name: str, title: str) -> Vocabulary:
    engine: Engine
    if name in (*OFFERED, HUB_COPY):
        engine = InProcess(Tokenizer.from_str(state))
    else:
        engine = Isolated(state, title)
    return vocabulary_of(state, name, title, engine)


def _absent(source: ModelSource, home: Path | None) -> str:
    if home is not None:
        return (
            f"{source.name} has no {_FILE}, which says how a text is cut: put it beside its "
            "config.json, or choose another tokenizer"
        )
    if source.gguf:
        return (
            f"{source.name} is not on this machine yet: load it on Explore, run 'tokenarium "
            "fetch', or choose bundled/target"
        )
    return (
        f"{source.name} is not on this machine and its {_FILE} could not be fetched: check the "
        "spelling and the network, or give the file itself"
    )
