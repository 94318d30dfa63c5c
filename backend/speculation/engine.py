"""The loop of speculative decoding: draft a tree, verify it in one pass, accept a path, repeat."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.models.generating import wait
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftReader, DraftState
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.exit_reader import ExitReader
from tokenarium.backend.speculation.nested_reader import draft_reader
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.second_reading import JudgedProbs, SecondReading
from tokenarium.backend.speculation.state_heads.opening import open_head
from tokenarium.backend.speculation.tree import TokenTree
from tokenarium.backend.speculation.verify import ComputedTests, Verification, verify_with
from tokenarium.backend.speculation.vocabulary import SharedVocabulary, logits_width


@dataclass(frozen=True)
class Round:
    """One tree from its drafting to what was accepted of it."""

    tree: TokenTree
    logits: Tensor
    """[n, V] of the target after ``tree.verified()``."""
    targets: "TargetProbs"
    judged: Mapping[int, Tensor]
    """By verified node, what the run's rule tested by: ``targets``, or what it made of them and of
    a second reading, which is then in ``JudgedProbs.again``."""
    tests: ComputedTests
    """Of the run's rule: those that verification needed, and others when they are asked for."""
    verification: Verification
    accept_uniforms: NDArray[np.float64]
    """[N] the number in [0, 1) that each node's acceptance was compared with."""
    next_uniforms: NDArray[np.float64]
    """[N] the number in [0, 1) that sampled what follows a node."""
    draft_ms: float
    verify_ms: float
    other_ms: float
    kv_tokens: int
    """Tokens of the text in the target's cache while it verified."""

    @property
    def tokens(self) -> list[int]:
        """What the round adds to the text: accepted tokens, and the one that follows them."""
        found = self.verification
        return [self.tree.tokens[node] for node in found.path[1:]] + [found.token]


_FEW = 8
"""Nodes that are processed all at once: of more only those that verification comes to."""


class TargetProbs(Mapping[int, Tensor]):
    """The target's distribution [V] after each verified node, computed when it is looked up."""

    def __init__(self, state: DraftState, tree: TokenTree, logits: Tensor) -> None:
        nodes = tree.verified()
        self._processors, self._logits = state.processors, logits
        self._rows = {node: row for row, node in enumerate(nodes)}
        penalty = self._processors.repetition_penalty != 1
        # Now, before the text goes on.
        self._paths = [state.prefix(tree, node) for node in nodes] if penalty else None
        self._known: dict[int, Tensor] = {}
        self._soft: Tensor | None = None

    def __getitem__(self, node: int) -> Tensor:
        if node not in self._known and len(self) <= _FEW:
            if self._processors.greedy:
                probs = self._processors.probs(self._logits, self._paths)
                self._known = dict(zip(self._rows, probs, strict=True))
            else:
                self.soft()
        if node not in self._known:
            row = self._rows[node]
            paths = self._paths and self._paths[row : row + 1]
            self._known[node] = self._processors.probs(self._logits[row : row + 1], paths)[0]
        return self._known[node]

    def soft(self) -> Tensor:
        """Return [n, V] distributions that are not one-hot: see ``Processors.soft_probs``.

        Above temperature 0 they are the distributions themselves, which are kept.
        """
        if self._soft is not None:
            return self._soft
        probs = self._processors.soft_probs(self._logits, self._paths)
        if not self._processors.greedy:
            self._soft = probs
            self._known = dict(zip(self._rows, probs, strict=True)) | self._known
        return probs

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Speculator:
    """A text continued by rounds of drafting and verifying.

    Args:
        target: reads for the model whose distribution is wanted; nothing was read with it yet.
        drafter: proposes trees.
        state: what the drafter works with; its ``ids`` are the prompt, at least one token.
        rule: accepts.
        random: of every acceptance and every token sampled from the target's distribution.
    """

    def __init__(
        self,
        target: TreeReader,
        drafter: Drafter,
        state: DraftState,
        rule: Rule,
        random: np.random.Generator,
    ) -> None:
        self.target, self.drafter, self.state, self.rule = target, drafter, state, rule
        self.random = random
        self._draft_len, self._tree_budget = state.draft_len, state.tree_budget
        self._second = SecondReading(rule, target.loaded) if rule.rereads else None

    @classmethod
    def of_models(
        cls,
        loaded: LoadedModel,
        draft: LoadedModel | None,
        drafter: Drafter,
        rule: Rule,
        processors: Processors,
        ids: Sequence[int],
        *,
        draft_len: int,
        tree_budget: int,
        max_new_tokens: int,
        seed: int,
        shared: SharedVocabulary | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Self:
        """Return the speculator of a prompt; the seed decides everything that is sampled.

        Args:
            draft: the draft model, where the drafter's source is one.
            ids: [T] the prompt.
            max_new_tokens: for which the caches have room.
            shared: how the draft model's ids are the target's; None where they are the same.
            check: called in every layer; raises to stop.
        """
        room = len(ids) + max_new_tokens + tree_budget + 1
        head = open_head(loaded, drafter.head) if drafter.source == "target_states" else None
        count = len(loaded.layers)
        kept = (drafter.watches(count) or None) if head is None else head.state_layers
        target = TreeReader(loaded, room, check, keep_states=kept)
        reader: DraftReader | None = None
        if head is not None:
            reader = head.reader_beside(target, room)
        elif drafter.shares_cache:
            reader = ExitReader(target, drafter.layers(count), drafter.watches(count))
        elif drafter.source == "target_layers":
            reader = TreeReader(loaded, room, check, drafter.layers(count))
        elif draft is not None:
            reader = draft_reader(drafter, TreeReader(draft, room, check))
        state = DraftState(
            ids=list(ids),
            vocabulary=logits_width(loaded),
            draft_len=draft_len,
            tree_budget=tree_budget,
            processors=processors,
            random=np.random.default_rng([seed, 1]),
            reader=reader,
            shared=shared,
        )
        random = np.random.default_rng([seed, 2])
        return cls(target, drafter, state, rule.of_model(loaded), random)

    @torch.inference_mode()
    def begin(self) -> None:
        """Read all of the prompt but its last token, which is the first round's root."""
        if len(self.state.ids) > 1:
            self.target.extend(self.state.ids[:-1])
        self.drafter.begin(self.state)

    @torch.inference_mode()
    def round(self, remaining: int) -> Round:
        """Add at most ``remaining`` tokens, at least one, to the text.

        Accepted tokens and their successor are appended to ``state.ids``.
        """
        state, target, device = self.state, self.target, self.target.loaded.device
        state.draft_len = min(self._draft_len, remaining - 1)
        state.tree_budget = self._tree_budget
        clock = [time.perf_counter()]
        tree = self.drafter.propose(state) if state.draft_len else state.tree()
        if target.chain_only:
            tree.prune_to_chain()
        target.forget_after(0)  # what a drafter read with its cache
        wait(device)
        clock.append(time.perf_counter())
        row = {node: row for row, node in enumerate(tree.verified())}
        kv_tokens = target.length
        tokens, again = [tree.tokens[node] for node in row], None
        if self._second is not None and len(row) > 1:
            logits, again = self._second.read(target, tokens)
        elif self.drafter.hands_on:
            handing: Any = state.reader
            logits = handing.verify(tokens)
        else:
            logits = target.read(tokens, [row.get(tree.parents[node], -1) for node in row])
        wait(device)
        clock.append(time.perf_counter())
        self.drafter.update(state, tree, logits)
        clock.append(time.perf_counter())
        accept_uniforms, next_uniforms = self.random.random((2, len(tree)))
        targets = TargetProbs(state, tree, logits)
        judged: Mapping[int, Tensor] = targets
        if again is not None:
            judged = JudgedProbs.of(self.rule, targets, state, tree, again)
        tests = ComputedTests(self.rule, tree, judged, next_uniforms)
        found = verify_with(self.rule, tree.tokens, tests.children, tests, accept_uniforms)
        target.keep([row[node] for node in found.path])
        state.keep(found.path)
        state.ids += [tree.tokens[node] for node in found.path[1:]] + [found.token]
        wait(device)
        clock.append(time.perf_counter())
        draft, verify, learn, other = (float(ms) for ms in np.diff(clock) * 1e3)
        return Round(
            tree=tree,
            logits=logits,
            targets=targets,
            judged=judged,
            tests=tests,
            verification=found,
            accept_uniforms=accept_uniforms,
            next_uniforms=next_uniforms,
            draft_ms=draft + learn,
            verify_ms=verify,
            other_ms=other,
            kv_tokens=kv_tokens,
        )
