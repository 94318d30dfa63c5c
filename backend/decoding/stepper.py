"""One model, step by step: read on, try branches over the shared text, keep one, go back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

import torch
from torch import Tensor

from tokenarium.backend.decoding.watching_reader import Seen
from tokenarium.backend.models.generating import wait


class Reader(Protocol):
    """What keeps the keys and values; ``watching_reader.WatchingReader`` for a model."""

    chain_only: str | None
    """Why drafted tokens must form a chain; None where they may form a tree."""
    seen: list[Seen]
    """What was seen of every token of the last pass."""

    def extend_states(self, ids: Sequence[int], embeddings: Tensor | None = None) -> Tensor:
        """Read tokens of the text, and return the states after each [n, D]."""
        ...

    def read_states(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read drafted tokens, and return the states after each [n, D]."""
        ...

    def keep(self, path: Sequence[int]) -> object:
        """Make a path of drafted tokens part of the text, and drop the others."""
        ...

    def forget_after(self, count: int) -> None:
        """Drop all but the first drafted tokens."""
        ...

    def rewind(self, count: int) -> None:
        """Go back so many tokens of the text."""
        ...

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Return the embeddings [n, hidden] of tokens."""
        ...

    def vocabulary_keys(self) -> Tensor:
        """Return the rows [V, hidden] that final states are multiplied with."""
        ...

    def slope(self, ids: Sequence[int], embeddings: Tensor, targets: int) -> tuple[float, Tensor]:
        """Return ln p of the last tokens of a text, and its gradient by embeddings before them."""
        ...

    def early_logits(self, states: Tensor, normed: bool) -> Tensor:
        """Return the logits [n, V] of states [n, hidden] after earlier layers."""
        ...


@dataclass
class Counters:
    """What was spent since the prompt was read."""

    passes: int = 0
    """Forward passes."""
    token_steps: int = 0
    """Tokens that were read in them."""
    seconds: float = 0.0
    """That they took."""


class Stepper:
    """A text, and a tree of tokens tried after it.

    Args:
        reader: nothing was read with it yet.
        unembed: final states [..., D] to logits [..., V].
        rereads: whether every pass reads the whole text anew, which counts as tokens read.
    """

    def __init__(
        self, reader: Reader, unembed: Callable[[Tensor], Tensor], rereads: bool = False
    ) -> None:
        self._reader, self._unembed, self._rereads = reader, unembed, rereads
        self.counters = Counters()
        self.beside = Counters()
        """What a drafter's own model spent."""
        self.guessed: set[int] = set()
        """New tokens, from 0, that a drafter guessed: what follows them was read before."""
        self.prompt: list[int] = []
        self.ids: list[int] = []
        """The text that was read, prompt included; -1 where an embedding was read."""
        self._states: list[Tensor] = []  # [D] after every token
        self._seen: list[Seen] = []  # likewise
        self._tokens: list[int] = []  # of nodes
        self._parents: list[int] = []
        self._node_states: list[Tensor] = []
        self._node_seen: list[Seen] = []
        self._chain: list[int] = []  # nodes that are in the cache, where they must be a chain

    def begin(self, prompt: Sequence[int]) -> None:
        """Read the prompt."""
        assert not self.ids, "a prompt was read before: restart() goes back to its end"
        self.prompt, self.ids = list(prompt), list(prompt)
        self._states = list(self._reader.extend_states(prompt))
        self._seen = list(self._reader.seen)

    def restart(self) -> None:
        """Go back to the end of the prompt, with nothing spent."""
        self.rewind(len(self.ids) - len(self.prompt))
        self.counters = Counters()

    @property
    def states(self) -> Tensor:
        """The final-normed states [T, D] after every token of the text."""
        return torch.stack(self._states)

    @property
    def logits(self) -> Tensor:
        """The logits [V] after the text; the states are kept, so that going back costs no pass."""
        return self._unembed(self._states[-1])

    def logits_before(self, count: int) -> Tensor:
        """Return the logits [count, V] after the tokens that stand before the newest ones."""
        return self._unembed(torch.stack(self._states[-count - 1 : -1]))

    def rows_before(self, count: int) -> Iterator[Tensor]:
        """Yield the logits [V] of ``logits_before`` one by one, for texts of any length."""
        for state in self._states[-count - 1 : -1]:
            yield self._unembed(state[None])[0]

    def feed(self, ids: Sequence[int], embeddings: Tensor | None = None) -> None:
        """Read on in one pass.

        Args:
            ids: [n] tokens; -1 where an embedding has none.
            embeddings: [n, hidden] that are read in place of the tokens' own; None for those.
        """
        self._forget()
        read = [max(token, 0) for token in ids]
        states = self._timed(lambda: self._reader.extend_states(read, embeddings), len(read))
        self.ids += ids
        self._states += list(states)
        self._seen += self._reader.seen

    def try_tokens(self, ids: Sequence[int], parents: Sequence[int]) -> tuple[list[int], Tensor]:
        """Read tokens of branches, and return their nodes [n] and the logits after each [n, V].

        One pass reads them all, where the model reads trees; otherwise one pass each reads a
        branch anew from where it leaves the branch that was read before.

        Args:
            ids: [n] tokens.
            parents: [n] node that each follows; -1 for the text itself.
        """
        first = len(self._tokens)
        self._tokens += ids
        self._parents += parents
        nodes = list(range(first, first + len(ids)))
        if self._reader.chain_only is None:
            states = self._timed(lambda: self._reader.read_states(ids, parents), len(ids))
            self._node_states += list(states)
            self._node_seen += self._reader.seen
        else:
            for node in nodes:
                self._node_states.append(self._as_chain(self.path(node)))
                self._node_seen.append(self._reader.seen[-1])
        return nodes, self._unembed(torch.stack([self._node_states[node] for node in nodes]))

    def node_state(self, node: int) -> Tensor:
        """Return the final-normed state [D] after a node."""
        return self._node_states[node]

    def node_seen(self, node: int) -> Seen:
        """Return what was seen while a node was read."""
        return self._node_seen[node]

    def seen(self, back: int = 0) -> Seen:
        """Return what was seen while the newest token of the text was read, or one before it."""
        return self._seen[-1 - back]

    def slope(
        self, after: Sequence[int], targets: Sequence[int], embeddings: Tensor | None = None
    ) -> tuple[float, Tensor]:
        """Return ln p of targets after the text and more tokens, and its gradient [k, hidden].

        One forward pass that reads the whole text anew; what is in the cache stays.

        Args:
            after: [k] tokens that follow the text, by whose embeddings the gradient is.
            targets: tokens after those.
            embeddings: [k, hidden] that are read in their place; None for the tokens' own.
        """
        self._forget()
        given = self.embed(after) if embeddings is None else embeddings
        ids = [max(token, 0) for token in (*self.ids, *after, *targets)]
        start = perf_counter()
        value, found = self._reader.slope(ids, given, len(targets))
        wait(found.device)
        self.counters.passes += 1
        self.counters.token_steps += len(ids) - 1
        self.counters.seconds += perf_counter() - start
        return value, found

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Return the embeddings [n, hidden] of tokens, as ``feed`` reads them."""
        return self._reader.embed(ids)

    def vocabulary_keys(self) -> Tensor:
        """Return the rows [V, hidden] of the unembedding, one a token."""
        return self._reader.vocabulary_keys()

    def early_logits(self, layers: Sequence[int], normed: bool = True, back: int = 0) -> Tensor:
        """Return the logits [n, V] after the text as earlier layers would have them.

        Args:
            layers: [n] from 1, the number of layers that are run.
            normed: whether the final norm is applied.
            back: tokens of the text before its newest one.
        """
        states = self.seen(back).layers
        assert states is not None, "the strategy does not declare that it watches layers"
        return self._reader.early_logits(states[[layer - 1 for layer in layers]], normed)

    def path(self, node: int) -> list[int]:
        """Return the nodes from the text to a node, itself included."""
        found: list[int] = []
        while node >= 0:
            found.append(node)
            node = self._parents[node]
        return found[::-1]

    def keep(self, path: Sequence[int]) -> None:
        """Make nodes from the text on part of it; every other node is gone."""
        if self._reader.chain_only is None:
            self._reader.keep(path)
        else:
            if path and list(path) != self._chain[: len(path)]:
                self._as_chain(list(path))
            self._reader.keep(range(len(path)))
        self.ids += [self._tokens[node] for node in path]
        self._states += [self._node_states[node] for node in path]
        self._seen += [self._node_seen[node] for node in path]
        self._clear()

    def rewind(self, count: int) -> None:
        """Go back so many tokens of the text; every node is gone."""
        assert 0 <= count <= len(self.ids) - len(self.prompt), "only what was written is taken back"
        self._forget()
        if count:
            self._reader.rewind(count)
            del self.ids[-count:]
            del self._states[-count:]
            del self._seen[-count:]

    def _forget(self) -> None:
        self._reader.forget_after(0)
        self._clear()

    def _clear(self) -> None:
        self._tokens, self._parents, self._chain = [], [], []
        self._node_states, self._node_seen = [], []

    def _as_chain(self, path: list[int]) -> Tensor:
        """Read the end of a path that is not in the cache, and return the state [D] after it."""
        shared = 0
        while shared < min(len(path) - 1, len(self._chain)) and path[shared] == self._chain[shared]:
            shared += 1
        self._reader.forget_after(shared)
        ids = [self._tokens[node] for node in path[shared:]]
        parents = range(shared - 1, len(path) - 1)
        states = self._timed(lambda: self._reader.read_states(ids, parents), len(ids), shared)
        self._chain = list(path)
        return states[-1]

    def _timed(self, read: Callable[[], Tensor], tokens: int, before: int = 0) -> Tensor:
        """Read and count; ``before`` are tokens of a branch that stand before those of the pass."""
        tokens += (len(self.ids) + before) * self._rereads
        start = perf_counter()
        states = read()
        wait(states.device)
        self.counters.passes += 1
        self.counters.token_steps += tokens
        self.counters.seconds += perf_counter() - start
        return states
