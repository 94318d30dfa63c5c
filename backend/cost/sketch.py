"""What a model's files say without its weights: sizes, and how many tokens a text is."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerFast

from tokenarium.backend.models.files import refuse_odd_files
from tokenarium.backend.models.info import FolderState, folder_state
from tokenarium.backend.models.loading import read_tokenizer
from tokenarium.backend.models.refusal import refusing
from tokenarium.backend.models.text import CUT_IT, count_tokens, digest_of_ids
from tokenarium.backend.runs.request import TextRequest

_MOST = 8
_lock = threading.Lock()
_reading: dict[Path, threading.Lock] = {}
_known: dict[Path, tuple[FolderState, "Sketch"]] = {}


@dataclass(frozen=True)
class Sketch:
    """A model that is not loaded."""

    name: str
    config: PretrainedConfig
    tokenizer: PreTrainedTokenizerFast
    _alone: threading.Lock = field(default_factory=threading.Lock)
    """A tokenizer holds state."""

    def count(self, request: TextRequest) -> int:
        """Return how many tokens the text of a request is, BOS and chat template included."""
        with self._alone:
            return count_tokens(self.tokenizer, request)

    def digest(self, requests: Sequence[TextRequest]) -> str:
        """Return the SHA-256 of the ids that the model reads of each, before any is cut."""
        with self._alone:
            found = [digest_of_ids(self.tokenizer, request) for request in requests]
        return found[0] if len(found) == 1 else sha256("".join(found).encode()).hexdigest()

    def count_within(self, request: TextRequest, limit: int) -> int:
        """Return how many tokens of a text are read.

        Raises:
            ValueError: if it has more than ``limit`` and is not to be cut.
        """
        tokens = self.count(request)
        if tokens <= limit or request.overflow in ("keep_start", "keep_end"):
            return min(tokens, limit)
        raise ValueError(
            f"the text is {tokens} tokens, the limit is {limit}: shorten it, or {CUT_IT}"
        )

    def count_plain(self, text: str) -> int:
        """Return how many tokens a text is by itself."""
        with self._alone:
            return len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def sketch(name: str, home: Path) -> Sketch:
    """Read configuration and tokenizer of the model in a folder; kept until a file changes.

    Raises: ModelRefused where either cannot be read.
    """
    state = folder_state(home)
    with _lock:
        alone = _reading.setdefault(home, threading.Lock())
    with alone:
        with _lock:
            found = _known.get(home)
        if found is not None and found[0] == state:
            return found[1]
        refuse_odd_files(home)
        with refusing(
            f"{name} has no configuration that can be read",
            "put its config.json beside its weights",
        ):
            config = AutoConfig.from_pretrained(home, local_files_only=True)
        made = Sketch(name, config, read_tokenizer(home, name))
        with _lock:
            while len(_known) >= _MOST:
                del _known[next(iter(_known))]
            _known[home] = state, made
        return made
