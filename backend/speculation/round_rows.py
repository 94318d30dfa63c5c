"""The rows of one round's tree in the log of a run: every node with what is known of it."""

from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.engine import Round
from tokenarium.backend.speculation.node_schema import NODE, STATUSES
from tokenarium.backend.speculation.replay import outcomes
from tokenarium.backend.speculation.second_reading import JudgedProbs
from tokenarium.backend.speculation.tree import ROOT
from tokenarium.kernels.vocab_stats import ProbStats, prob_stats

ALTERNATIVES = 5
_AT_ONCE = 16
"""Nodes whose distributions are described in one go: more would need much memory at once."""
_UNKNOWN = {"parent": -1, "draw_order": -1, "sibling_rank": -1, "target_argmax": -1,
            "target_rank": -1}  # fmt: skip


class RoundRows:
    """The rows of one round's tree, filled column by column."""

    def __init__(self, round_: Round, first: int, number: int) -> None:
        self.round, self.first = round_, first
        tree = round_.tree
        self.nodes = _blank(len(tree))
        self.nodes["id"] = first + np.arange(len(tree))
        self.nodes["round"] = number
        self.tops = {
            "target_top_ids": np.full((len(tree), ALTERNATIVES), -1, np.int32),
            "target_top": np.full((len(tree), ALTERNATIVES), np.nan, np.float32),
            "draft_top_ids": np.full((len(tree), ALTERNATIVES), -1, np.int32),
            "draft_top": np.full((len(tree), ALTERNATIVES), np.nan, np.float32),
            "second_top_ids": np.full((len(tree), ALTERNATIVES), -1, np.int32),
            "second_top": np.full((len(tree), ALTERNATIVES), np.nan, np.float32),
        }
        self.second = {
            name: np.full(len(tree), np.nan, np.float32)
            for name in ("second_prob", "second_overlap")
        }
        self.verified = tree.verified()
        self._soft = round_.targets.soft()  # [n, V]
        self.target_probs = dict(zip(self.verified, self._soft, strict=True))
        self.children: list[list[int]] = [[] for _ in tree.tokens]  # pruned ones too
        for node, parent in enumerate(tree.parents):
            if node:
                self.children[parent].append(node)

    def fill_drafted(self, index_of: Callable[[str], int]) -> None:
        """Fill in what each node is, and its probabilities q and p after its parent."""
        tree, rows = self.round.tree, self.nodes
        rows["token_id"] = tree.tokens
        rows["est_value"] = tree.values
        rows["source"] = [index_of(source) for source in tree.sources]
        rows["u"], rows["u_next"] = self.round.accept_uniforms, self.round.next_uniforms
        rows["u"][ROOT] = np.nan
        rows["logq_path"][ROOT] = 0
        rows["p_accept_path"][ROOT] = rows["p_reach"][ROOT] = 1
        self._fill_places()
        below = np.arange(1, len(tree))
        row_of = {node: row for row, node in enumerate(self.verified)}
        read = [node for node in below if tree.parents[node] in row_of]
        if read:
            after = [row_of[tree.parents[node]] for node in read]
            p = self._soft[after, [tree.tokens[node] for node in read]]
            rows["p_raw"][read] = _numpy(p)
            ranks = map(self._rank, [tree.parents[node] for node in read], p.tolist())
            rows["target_rank"][read] = list(ranks)
        drawn = [node for node in below if tree.parents[node] in tree.draft_probs]
        if not drawn:
            return
        q = [tree.draft_probs[tree.parents[node]][tree.tokens[node]] for node in drawn]
        rows["q_raw"][drawn] = _numpy(torch.stack(q))
        with np.errstate(divide="ignore"):
            logq = np.log(rows["q_raw"])
        for node in drawn:
            rows["logq_path"][node] = rows["logq_path"][tree.parents[node]] + logq[node]

    def _fill_places(self) -> None:
        """Fill in where each node stands in the tree; siblings by q where the draft gives one."""
        tree, rows = self.round.tree, self.nodes
        rows["parent"][1:] = self.first + np.asarray(tree.parents[1:], np.int64)
        for parent, children in enumerate(self.children):
            rows["depth"][children] = rows["depth"][parent] + 1
            rows["draw_order"][children] = rows["sibling_rank"][children] = range(len(children))
            draft = tree.draft_probs.get(parent)
            if draft is not None and len(children) > 1:
                q = _numpy(draft[[tree.tokens[child] for child in children]])
                rows["sibling_rank"][children] = np.argsort(np.argsort(-q, kind="stable"))

    def _rank(self, node: int, prob: float) -> int:
        """Return how many tokens the target finds likelier after a node."""
        best = self.tops["target_top"][node]
        if prob >= best[-1]:  # not where fewer are known
            return int((best > prob).sum())
        return int((self.target_probs[node] > prob).sum())

    def fill_distributions(self) -> None:
        """Fill in what the distributions p and q after each node are like, many nodes at once."""
        for start in range(0, len(self.verified), _AT_ONCE):
            nodes = self.verified[start : start + _AT_ONCE]
            p = self._soft[start : start + _AT_ONCE]
            target = prob_stats(p, ALTERNATIVES)
            self._describe("target", nodes, target)
            self.nodes["target_argmax"][nodes] = self.tops["target_top_ids"][nodes, 0]
            known = [row for row, node in enumerate(nodes) if node in self.round.tree.draft_probs]
            if not known:
                continue
            drafted = [nodes[row] for row in known]
            q = torch.stack([self.round.tree.draft_probs[node] for node in drafted])
            draft = prob_stats(q, ALTERNATIVES, p if len(known) == len(nodes) else p[known])
            self._describe("draft", drafted, draft)
            assert draft.crossed is not None
            assert draft.overlap is not None
            divergence = (draft.crossed - target.entropy[known]).clamp_min(0)
            self.nodes["kl_nats"][drafted] = _numpy(divergence)
            self.nodes["tv_overlap"][drafted] = _numpy(draft.overlap)

    def _describe(self, whose: str, nodes: list[int], stats: ProbStats) -> None:
        self._fill_tops(whose, nodes, stats)
        self.nodes[f"{whose}_entropy"][nodes] = _numpy(stats.entropy)

    def _fill_tops(self, whose: str, nodes: list[int], stats: ProbStats) -> None:
        wide = stats.top_ids.shape[-1]
        self.tops[f"{whose}_top_ids"][nodes, :wide] = _numpy(stats.top_ids)
        self.tops[f"{whose}_top"][nodes, :wide] = _numpy(stats.top_probs)

    def fill_second_reading(self) -> None:
        """Fill in what the target said of a chain that it read a second time."""
        if not isinstance(self.round.judged, JudgedProbs):
            return
        again = self.round.judged.again
        nodes, tokens = list(again), self.round.tree.tokens
        probs = torch.stack([again[node] for node in nodes])
        first = torch.stack([self.target_probs[node] for node in nodes])
        stats = prob_stats(probs, ALTERNATIVES, first)
        assert stats.overlap is not None
        self._fill_tops("second", nodes, stats)
        self.second["second_overlap"][nodes] = _numpy(stats.overlap)
        for row, node in enumerate(nodes):
            for child in self.round.tests.children[node]:
                self.second["second_prob"][child] = float(probs[row, tokens[child]])

    def fill_tests(self) -> None:
        """Fill in every acceptance test, also those that verification did not come to."""
        rows, tests = self.nodes, self.round.tests
        for parent in self.verified:
            reach = float(rows["p_accept_path"][parent])
            children = tests.children[parent]
            # No further than the last child: what follows is the residual, over the vocabulary.
            made = islice(tests.tests(parent), len(children))
            for child, test in zip(children, made, strict=True):
                rows["p_used"][child], rows["q_used"][child] = test.target_prob, test.draft_prob
                rows["accept_prob"][child] = test.accept_prob
                rows["p_reach"][child] = reach
                rows["p_accept_path"][child] = reach * test.accept_prob
                reach *= 1 - test.accept_prob

    def fill_status(self, kept: int) -> None:
        """Fill in the outcome of every node."""
        tree, found = self.round.tree, self.round.verification
        cut = found.path[1 + kept :]
        words = outcomes(found, tree.parents, set(self.verified))
        self.nodes["status"] = [STATUSES.index(word) for word in words]
        self.nodes["status"][cut] = STATUSES.index("cut")
        whole = kept > len(found.path) - 1
        ending = "bonus" if found.ending == "bonus" else "residual_resample"
        self.ending = ending if whole else "cut"

    def last(self) -> NDArray[Any]:
        """Return the row of the token that follows the accepted path."""
        found, rows = self.round.verification, _blank(1)
        parent = found.path[-1]
        p = self.target_probs[parent]
        rows["id"], rows["round"] = self.first + len(self.nodes), self.nodes["round"][0]
        rows["parent"], rows["depth"] = self.first + parent, len(found.path)
        rows["token_id"], rows["status"] = found.token, STATUSES.index(self.ending)
        rows["p_raw"] = float(p[found.token])
        rows["target_rank"] = self._rank(parent, float(p[found.token]))
        bonus = found.ending == "bonus"
        used = self.round.targets[parent] if bonus else self.round.tests.residual(parent)
        rows["p_used"] = float(used[found.token])
        rows["u_next"] = self.round.next_uniforms[parent]
        return rows


def _blank(count: int) -> NDArray[Any]:
    rows = np.zeros(count, NODE)
    for name in NODE.names or ():
        if rows.dtype[name].kind == "f":
            rows[name] = np.nan
    for name, value in _UNKNOWN.items():
        rows[name] = value
    return rows


def _numpy(values: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values.cpu().numpy()
    return array
