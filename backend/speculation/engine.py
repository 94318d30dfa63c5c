"""Draft a tree, verify it in one pass of the target, accept a path, go on from there."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.generating import wait
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.drafting import Drafting
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import TokenTree
from tokenarium.backend.speculation.verify import Walk, walk


@dataclass(frozen=True)
class Round:
    """One tree from its drafting to what became of it."""

    tree: TokenTree
    logits: Tensor
    """[n, V] of the target after ``tree.verified()``."""
    targets: "TargetLaws"
    walk: Walk
    accept: NDArray[np.float64]
    """[N] the number each node's test was compared with."""
    follow: NDArray[np.float64]
    """[N] the number that drew what follows a node."""
    draft_ms: float
    verify_ms: float
    other_ms: float
    kv_tokens: int
    """Tokens of the text in the target's cache while it verified."""

    @property
    def tokens(self) -> list[int]:
        """What the round adds to the text: accepted tokens, and the one that follows them."""
        return [self.tree.tokens[node] for node in self.walk.path[1:]] + [self.walk.token]


class TargetLaws(Mapping[int, Tensor]):
    """The target's law after each verified node, computed when it is looked at."""

    def __init__(self, drafting: Drafting, tree: TokenTree, logits: Tensor) -> None:
        nodes = tree.verified()
        self._processors, self._logits = drafting.processors, logits
        self._rows = {node: row for row, node in enumerate(nodes)}
        penalised = self._processors.repetition_penalty != 1
        # Now, before the text goes on.
        self._paths = [drafting.before(tree, node) for node in nodes] if penalised else None
        self._known: dict[int, Tensor] = {}

    def __getitem__(self, node: int) -> Tensor:
        if node not in self._known:
            row = self._rows[node]
            paths = self._paths and self._paths[row : row + 1]
            self._known[node] = self._processors.law(self._logits[row : row + 1], paths)[0]
        return self._known[node]

    def telling(self) -> Tensor:
        """Return [n, V] laws that say more than which token is the likeliest: see ``draft_law``."""
        return self._processors.draft_law(self._logits, self._paths)

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Speculator:
    """A text continued by rounds of drafting and verifying.

    Args:
        target: reads for the model whose law is wanted; nothing was read with it yet.
        drafter: guesses.
        drafting: what the drafter works with; its ``ids`` are the prompt, at least one token.
        rule: accepts.
        random: of every test and every draw from the target's law.
    """

    def __init__(
        self,
        target: TreeReader,
        drafter: Drafter,
        drafting: Drafting,
        rule: Rule,
        random: np.random.Generator,
    ) -> None:
        self.target, self.drafter, self.drafting, self.rule = target, drafter, drafting, rule
        self.random = random
        self._draft_len, self._tree_budget = drafting.draft_len, drafting.tree_budget

    @torch.inference_mode()
    def begin(self) -> None:
        """Read all of the prompt but its last token, which is the first round's root."""
        if len(self.drafting.ids) > 1:
            self.target.extend(self.drafting.ids[:-1])
        self.drafter.begin(self.drafting)

    @torch.inference_mode()
    def round(self, remaining: int) -> Round:
        """Add at most ``remaining`` tokens, at least one, to the text.

        Accepted tokens and their successor are appended to ``drafting.ids``.
        """
        drafting, target, device = self.drafting, self.target, self.target.loaded.device
        drafting.draft_len = min(self._draft_len, remaining - 1)
        drafting.tree_budget = self._tree_budget
        clock = [time.perf_counter()]
        tree = self.drafter.propose(drafting) if drafting.draft_len else drafting.tree()
        if target.chain_only:
            tree.prune_to_chain()
        wait(device)
        clock.append(time.perf_counter())
        nodes = tree.verified()
        place = {node: row for row, node in enumerate(nodes)}
        kv_tokens = target.length
        logits = target.read(
            [tree.tokens[node] for node in nodes],
            [place.get(tree.parents[node], -1) for node in nodes],
        )
        wait(device)
        clock.append(time.perf_counter())
        self.drafter.heard(drafting, tree, logits)
        clock.append(time.perf_counter())
        accept, follow = self.random.random((2, len(tree)))
        targets = TargetLaws(drafting, tree, logits)
        found = walk(self.rule, tree, targets, accept, follow)
        target.keep([place[node] for node in found.path])
        drafting.accepted(found.path)
        drafting.ids += [tree.tokens[node] for node in found.path[1:]] + [found.token]
        wait(device)
        clock.append(time.perf_counter())
        draft, verify, learn, other = (float(ms) for ms in np.diff(clock) * 1e3)
        return Round(
            tree,
            logits,
            targets,
            found,
            accept,
            follow,
            draft_ms=draft + learn,
            verify_ms=verify,
            other_ms=other,
            kv_tokens=kv_tokens,
        )
