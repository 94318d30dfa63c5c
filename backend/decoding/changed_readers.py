"""Readers of a text under a KV-cache policy, and with interventions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.decoding.watching_reader import NOTHING, Seen
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.layer import Change
from tokenarium.backend.observe.reading import read


class _Plain:
    """What strategies that only read tokens do not ask for."""

    seen: list[Seen]
    loaded: LoadedModel

    def vocabulary_keys(self) -> Tensor:
        """Return the rows [V, hidden] of the unembedding, one a token."""
        table: Any = self.loaded.model.get_output_embeddings()
        found: Tensor = table.weight
        return found

    def embed(self, ids: Sequence[int]) -> Tensor:  # noqa: ARG002
        """Refuse: see ``refuse_apart``."""
        raise AssertionError("a strategy that reads embeddings was let through")

    def slope(
        self,
        ids: Sequence[int],  # noqa: ARG002
        embeddings: Tensor,  # noqa: ARG002
        targets: int,  # noqa: ARG002
    ) -> tuple[float, Tensor]:
        """Refuse: see ``refuse_apart``."""
        raise AssertionError("a strategy that watches gradients was let through")

    def early_logits(self, states: Tensor, normed: bool) -> Tensor:  # noqa: ARG002
        """Refuse: see ``refuse_apart``."""
        raise AssertionError("a strategy that watches layers was let through")


class CachedReader(_Plain):
    """Reads on over a cache that a policy keeps; what was read stays read.

    Args:
        sequence: nothing was read with it yet.
    """

    chain_only: str | None = "entries that a policy dropped do not come back"

    def __init__(self, sequence: CachedSequence) -> None:
        self.sequence, self.loaded = sequence, sequence.loaded
        self.seen = []
        self._over = False

    def extend_states(self, ids: Sequence[int], embeddings: Tensor | None = None) -> Tensor:
        """Read tokens of the text, and return the states after each [n, D]."""
        assert embeddings is None
        assert not self._over, "tokens were taken back after they had been read"
        self.seen = [NOTHING] * len(ids)
        return self.sequence.read_states(list(ids))

    def read_states(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:  # noqa: ARG002
        """Refuse: see ``refuse_apart``."""
        raise AssertionError("a strategy that tries tokens was let through")

    def keep(self, path: Sequence[int]) -> None:
        """Nothing was tried."""

    def forget_after(self, count: int) -> None:
        """Nothing was tried."""

    def rewind(self, count: int) -> None:
        """Go back, after which nothing more is read: given tokens that went beyond the end."""
        self._over = self._over or count > 0


class ChangedReader(_Plain):
    """Reads the whole text anew in every pass, attention changed in some layers.

    Args:
        loaded: nobody else uses it meanwhile.
        changes: by layer.
        check: called in every layer; raises to stop.
    """

    chain_only: str | None = "with an intervention the whole text is read anew"

    def __init__(
        self, loaded: LoadedModel, changes: Mapping[int, Change], check: Callable[[], None]
    ) -> None:
        self.loaded, self.changes, self.check = loaded, changes, check
        self.seen = []
        self._ids: list[int] = []
        self._tried: list[int] = []

    def extend_states(self, ids: Sequence[int], embeddings: Tensor | None = None) -> Tensor:
        """Read tokens of the text, and return the states after each [n, D]."""
        assert embeddings is None
        self._tried = []
        self._ids += ids
        return self._newest(len(ids))

    def read_states(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read a chain of tried tokens, and return the states after each [n, D]."""
        before = len(self._tried)
        assert list(parents) == list(range(before - 1, before + len(ids) - 1)), "a chain is read"
        self._tried += ids
        return self._newest(len(ids))

    def keep(self, path: Sequence[int]) -> None:
        """Make the first of the tried tokens part of the text."""
        self._ids += self._tried[: len(path)]
        self._tried = []

    def forget_after(self, count: int) -> None:
        """Drop all but the first tried tokens."""
        del self._tried[count:]

    def rewind(self, count: int) -> None:
        """Go back so many tokens of the text."""
        self._tried = []
        del self._ids[len(self._ids) - count :]

    @torch.inference_mode()
    def _newest(self, count: int) -> Tensor:
        loaded = self.loaded
        text = [*self._ids, *self._tried]
        stream, _ = read(loaded, text, self.changes, lambda _: self.check())
        self.seen = [NOTHING] * count
        newest = stream[-count:]
        return newest if loaded.final_norm is None else loaded.final_norm(newest)
