"""The log of a run: every round and node with its probabilities, random numbers and outcome."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.cost.run_memory import MOST_HELD
from tokenarium.backend.speculation.engine import Round
from tokenarium.backend.speculation.node_schema import NODE, ROUND
from tokenarium.backend.speculation.round_rows import ALTERNATIVES, RoundRows
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.whatif import ReadTree, evaluate_trees

_AT_ONCE = 24
"""Nodes of several rounds that are judged in one go: more would need much memory at once."""
_SECOND = ("second_prob", "second_overlap", "second_top_ids", "second_top")
"""Columns of nodes that are known where the run's rule had its chains read twice."""


class RunLog:
    """Rounds and nodes of a run so far; ``rules`` test every tree beside the run's own rule.

    A round only hands over what it has. It is recorded when somebody asks for the log, and judged
    by the other rules at the end of the run, so that neither slows drafting and verifying; sooner
    where more than ``MOST_HELD`` would wait.
    """

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self._rules = rules
        self.sources: list[str] = [""]
        self.rounds: list[NDArray[Any]] = []
        self.nodes: list[NDArray[Any]] = []
        self.columns: dict[str, list[NDArray[Any]]] = {
            name: []
            for name in (
                "target_top_ids",
                "target_top",
                "draft_top_ids",
                "draft_top",
                *_SECOND,
                "judged_accept",
                "judged_next",
            )
        }
        self.token_node: list[int] = []
        self.count = 0
        self._added: list[tuple[Round, int]] = []
        self._unjudged: list[tuple[int, Round]] = []
        self._held = 0

    def add(self, round_: Round, kept: int) -> None:
        """Add a round, of whose tokens ``kept`` belong to the text."""
        self._added.append((round_, kept))
        readings = 1 if round_.judged is round_.targets else 3
        self._held += readings * (round_.logits.nbytes + 4 * round_.logits.numel())
        self._held += sum(probs.nbytes for probs in round_.tree.draft_probs.values())
        if self._held > MOST_HELD:
            self._judge_all()

    def __len__(self) -> int:
        """Return the number of rounds."""
        return len(self.rounds) + len(self._added)

    def _record_all(self) -> None:
        for round_, kept in self._added:
            self._unjudged.append((len(self.rounds), round_))
            self._record(round_, kept)
        self._added = []

    def _judge_all(self) -> None:
        self._record_all()
        while self._unjudged:
            nodes = np.cumsum([len(round_.tree) for _, round_ in self._unjudged])
            count = max(1, int((nodes <= _AT_ONCE).sum()))
            self._judge(self._unjudged[:count])
            del self._unjudged[:count]
        self._held = 0

    @torch.inference_mode()
    def _judge(self, some: Sequence[tuple[int, Round]]) -> None:
        start = time.perf_counter()
        trees = [
            ReadTree(
                round_.tree,
                round_.targets,
                round_.next_uniforms,
                None if round_.judged is round_.targets else round_.judged,
            )
            for _, round_ in some
        ]
        for (place, _), found in zip(some, evaluate_trees(self._rules, trees), strict=True):
            self.columns["judged_accept"][place] = _one_more(found.accept_probs)
            self.columns["judged_next"][place] = _one_more(found.next_tokens.astype(np.int32))
        spent = (time.perf_counter() - start) * 1e3
        for place, round_ in some:
            share = len(round_.tree) / sum(len(other.tree) for _, other in some)
            self.rounds[place]["explain_ms"] += spent * share

    @torch.inference_mode()
    def _record(self, round_: Round, kept: int) -> None:
        start = time.perf_counter()
        rows = RoundRows(round_, self.count, len(self.rounds))
        rows.fill_distributions()
        rows.fill_drafted(self._index_of)
        rows.fill_second_reading()
        rows.fill_tests()
        rows.fill_status(kept)
        self.nodes.append(np.concatenate((rows.nodes, rows.last())))
        for name, values in {**rows.tops, **rows.second}.items():
            self.columns[name].append(_one_more(values))
        shape = (len(round_.tree) + 1, len(self._rules))
        self.columns["judged_accept"].append(np.full(shape, np.nan))
        self.columns["judged_next"].append(np.full(shape, -1, np.int32))
        path = [*round_.verification.path[1:], len(round_.tree)]
        self.token_node += [self.count + node for node in path[:kept]]
        self.rounds.append(_round(round_, rows, kept, (time.perf_counter() - start) * 1e3))
        self.count += len(round_.tree) + 1

    def _index_of(self, source: str) -> int:
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source)

    def arrays(self, *, judged: bool = True) -> dict[str, NDArray[Any]]:
        """Return the log as fields of a result.

        Args:
            judged: whether every round is judged by the other rules first; else what they would
                have done is unknown for some.
        """
        if judged:
            self._judge_all()
        self._record_all()
        wide, many = ALTERNATIVES, len(self._rules)
        empty: dict[str, NDArray[Any]] = {
            "target_top_ids": np.zeros((0, wide), np.int32),
            "target_top": np.zeros((0, wide), np.float32),
            "draft_top_ids": np.zeros((0, wide), np.int32),
            "draft_top": np.zeros((0, wide), np.float32),
            "judged_accept": np.zeros((0, many), np.float64),
            "judged_next": np.zeros((0, many), np.int32),
            "second_prob": np.zeros(0, np.float32),
            "second_overlap": np.zeros(0, np.float32),
            "second_top_ids": np.zeros((0, wide), np.int32),
            "second_top": np.zeros((0, wide), np.float32),
        }
        found: dict[str, NDArray[Any]] = {
            name: np.concatenate([none, *self.columns[name]]) for name, none in empty.items()
        }
        found["rounds"] = np.concatenate((np.zeros(0, ROUND), *self.rounds))
        found["node_columns"] = np.concatenate((np.zeros(0, NODE), *self.nodes))
        found["token_node"] = np.asarray(self.token_node, np.int32)
        return found


def _round(round_: Round, nodes: RoundRows, kept: int, explain_ms: float) -> NDArray[Any]:
    rows = np.zeros(1, ROUND)
    depths = nodes.nodes["depth"][nodes.verified]
    beside = len(nodes.verified) - 1
    values = {
        "width": np.bincount(depths[1:]).max() if beside else 0,
        "depth": depths.max(),
        "drafted": len(round_.tree) - 1,
        "verified": beside,
        "accepted_len": len(round_.verification.path) - 1,
        "new_tokens": kept,
        "kv_tokens": round_.kv_tokens,
        "first_node": nodes.first,
        "draft_ms": round_.draft_ms,
        "verify_ms": round_.verify_ms,
        "other_ms": round_.other_ms,
        "explain_ms": explain_ms,
    }
    for name, value in values.items():
        rows[name] = value
    return rows


def _one_more(values: NDArray[Any]) -> NDArray[Any]:
    """Add the row of the token that ends a round, of which nothing more is known."""
    blank = np.full_like(values[:1], np.nan if values.dtype.kind == "f" else -1)
    return np.concatenate((values, blank))
