"""A stepper whose passes also read what a drafter guesses: a guess that is taken costs no pass."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Protocol

from torch import Tensor

from tokenarium.backend.decoding.stepper import Counters, Reader, Stepper
from tokenarium.backend.models.generating import wait
from tokenarium.backend.speculation.draft_state import DraftReader, DraftState
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.tree import ROOT


class MakesState(Protocol):
    """Makes what a drafter works with."""

    def __call__(self, prompt: list[int], draft_len: int) -> DraftState:
        """Return it for a prompt, guesses so deep at most."""
        ...


class CountedReader:
    """A drafter's reader whose passes are counted."""

    def __init__(self, reader: DraftReader, counters: Counters) -> None:
        self._reader, self._counters = reader, counters
        self.exits: tuple[int, ...] = getattr(reader, "exits", ())  # of a nested draft
        self.most: int | None = getattr(reader, "most", None)  # that one block guesses

    @property
    def layers(self) -> int:
        """As of the reader."""
        return self._reader.layers

    @property
    def parents(self) -> list[int]:
        """As of the reader."""
        return self._reader.parents

    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text, and return the logits after the last [V]."""
        return self._counted(lambda: self._reader.extend(ids), len(ids))

    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read drafted tokens, and return the logits after each [n, V]."""
        return self._counted(lambda: self._reader.read(ids, parents), len(ids))

    def deeper(self) -> Tensor:
        """Return the logits [V] after the last token by the next exit of a nested draft."""
        reader: Any = self._reader
        return self._counted(reader.deeper, 1)

    def keep(self, path: Sequence[int]) -> int:
        """Keep a path of drafted tokens."""
        return self._reader.keep(path)

    def _counted(self, read: Callable[[], Tensor], tokens: int) -> Tensor:
        start = perf_counter()
        logits = read()
        wait(logits.device)
        self._counters.passes += 1
        self._counters.token_steps += tokens
        self._counters.seconds += perf_counter() - start
        return logits


class DraftedStepper(Stepper):
    """Reads a tree of guesses along with each token that none of them was.

    The strategy chooses as it does without: from the model's own distributions, which are read
    ahead where a guess was right. The text is therefore the same for every drafter (of acceptance
    rules this is sample-and-match), and only passes are saved.

    Args:
        reader, unembed: as of ``Stepper``.
        drafter: proposes trees.
        state: makes what it works with.
        draft_len: most guesses after one another.
        most: new tokens of the text.
        beside: what the drafter's own model spends.
    """

    def __init__(
        self,
        reader: Reader,
        unembed: Callable[[Tensor], Tensor],
        drafter: Drafter,
        state: MakesState,
        draft_len: int,
        most: int,
        beside: Counters,
    ) -> None:
        super().__init__(reader, unembed)
        self.beside = beside
        self._drafter, self._state_of = drafter, state
        self._draft_len, self._most = draft_len, most
        self._over = False
        self._guesses: dict[tuple[int, int], int] = {}  # (row above, token) to row of the pass
        self._rows: list[int] = []  # of the pass, that became part of the text
        self._nodes: list[int] = []  # of the drafter's tree, likewise by row

    def begin(self, prompt: Sequence[int]) -> None:
        """Read the prompt, and prepare the drafter."""
        super().begin(prompt)
        self._state = self._state_of(list(prompt), self._draft_len)
        self._budget = self._state.tree_budget
        self._drafter.begin(self._state)

    def feed(self, ids: Sequence[int], embeddings: Tensor | None = None) -> None:
        """Read on: nothing where the tokens were guessed, else one pass, and guesses with it."""
        assert embeddings is None, "a strategy that reads mixtures was let through"
        assert not self._over, "tokens were taken back after they had been read"
        first = len(self.ids) - len(self.prompt)
        for place, token in enumerate(ids):
            row = self._guesses.get((self._rows[-1], token)) if self._rows else None
            if row is not None:
                self.guessed.add(first + place)
                self._accept(row, token)
                continue
            self._settle()
            if place + 1 < len(ids):  # given tokens: nothing is to be guessed among them
                super().feed(ids[place:-1])
                self._state.ids += ids[place:-1]
            self._read_tree(ids[-1])
            return

    def rewind(self, count: int) -> None:
        """Go back, after which nothing more is read: given tokens that went beyond the end."""
        self._settle()
        super().rewind(count)
        self._over = self._over or count > 0

    def _read_tree(self, token: int) -> None:
        """Read a token, and what is guessed after it, in one pass."""
        state, reader = self._state, self._reader
        state.ids.append(token)
        left = self._most - (len(self.ids) - len(self.prompt)) - 2  # the last one is never read
        state.draft_len, state.tree_budget = max(0, min(self._draft_len, left)), self._budget
        tree = self._drafter.propose(state) if state.draft_len else state.tree()
        if reader.chain_only is not None:
            tree.prune_to_chain()
        nodes = tree.verified()
        row = {node: place for place, node in enumerate(nodes)}
        tokens = [tree.tokens[node] for node in nodes]
        parents = [row.get(tree.parents[node], -1) for node in nodes]
        states = self._timed(lambda: reader.read_states(tokens, parents), len(tokens))
        self._drafter.update(state, tree, self._unembed(states))
        self._node_states, self._node_seen = list(states), list(reader.seen)
        self._guesses, self._nodes = {}, nodes
        for place, (guess, parent) in enumerate(zip(tokens, parents, strict=True)):
            if place != ROOT:
                self._guesses.setdefault((parent, guess), place)
        self._accept(ROOT, token)

    def _accept(self, row: int, token: int) -> None:
        self._rows.append(row)
        self.ids.append(token)
        self._states.append(self._node_states[row])
        self._seen.append(self._node_seen[row])

    def _settle(self) -> None:
        """Keep, of the last pass, what became part of the text."""
        if not self._rows:
            return
        self._reader.keep(self._rows)
        self._state.keep([self._nodes[row] for row in self._rows])
        self._state.ids += self.ids[len(self._state.ids) :]
        self._rows, self._guesses = [], {}
        self._node_states, self._node_seen = [], []
