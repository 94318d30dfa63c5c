"""Tokenizers as a page asks for them: at once, without weights, nothing stored."""

from tokenarium.backend.errors import told_in_words
from tokenarium.backend.models.names import BUNDLED, available, folder
from tokenarium.backend.models.registry import ModelRegistry
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.settings import Settings
from tokenarium.backend.tokenization.request import TokenizeRequest
from tokenarium.backend.tokenization.result import TokenizeResult
from tokenarium.backend.tokenization.runner import tokenize
from tokenarium.backend.tokenization.vocabulary import Vocabulary


class Tokenizers:
    """Tokenizers by name; safe to use from many threads.

    Args:
        settings: what the current mode allows.
        registry: whose tokenizers they are.
    """

    def __init__(self, settings: Settings, registry: ModelRegistry) -> None:
        self._settings, self._shelf = settings, registry.vocabularies

    def offered(self) -> dict[str, str]:
        """Return titles by name of the tokenizers that are on this machine.

        The bundled models share one, which stands once.
        """
        shared = [*BUNDLED][1:]
        return {
            source.name: source.title
            for source in available(self._settings)
            if source.name not in shared and (home := folder(source))
            if (home / "tokenizer.json").is_file()
        }

    def get(self, name: str) -> Vocabulary:
        """Return a vocabulary.

        Raises:
            UserError: if there is none of this name, with the remedy.
        """
        with told_in_words():
            return self._shelf.get(name)

    def give(self, state: str, title: str) -> Vocabulary:
        """Keep a tokenizer that a visitor has, in memory; its name is made of its content.

        Args:
            state: a tokenizer.json as text.
            title: for people, such as the name of the file.

        Raises:
            UserError: if it is too large or cannot be read.
        """
        with told_in_words():
            return self._shelf.give(state, title)

    def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """Return what a request without a model asks for, at once; nothing is stored.

        Raises:
            UserError: if a tokenizer cannot be had, or nothing can be cut.
        """
        with told_in_words():
            found = {name: self._shelf.get(name) for name in request.tokenizers}
            cancel = CancelToken()
            return tokenize(request, None, 0, lambda _: None, cancel, found)
