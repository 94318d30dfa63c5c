"""The rows of one round's tree in the log of a run: every node with what is known of it."""

from collections.abc import Callable
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
        self.target_probs = dict(zip(self.verified, round_.targets.soft(), strict=True))
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
        for parent, children in enumerate(self.children):
            if not children:
                continue
            tokens = torch.tensor([tree.tokens[child] for child in children])
            rows["parent"][children] = self.first + parent
            rows["depth"][children] = rows["depth"][parent] + 1
            rows["draw_order"][children] = np.arange(len(children))
            target, draft = self.target_probs.get(parent), tree.draft_probs.get(parent)
            if target is not None:
                p = target[tokens.to(target.device)]
                rows["p_raw"][children] = _numpy(p)
                rows["target_rank"][children] = _numpy((target > p[:, None]).sum(1))
            if draft is not None:
                q = _numpy(draft[tokens.to(draft.device)])
                rows["q_raw"][children] = q
                rows["sibling_rank"][children] = np.argsort(np.argsort(-q, kind="stable"))
                with np.errstate(divide="ignore"):
                    rows["logq_path"][children] = rows["logq_path"][parent] + np.log(q)
            else:
                rows["sibling_rank"][children] = rows["draw_order"][children]

    def fill_distributions(self) -> None:
        """Fill in what the distributions p and q after each node are like, many nodes at once."""
        for start in range(0, len(self.verified), _AT_ONCE):
            nodes = self.verified[start : start + _AT_ONCE]
            p = torch.stack([self.target_probs[node] for node in nodes])
            plogp = _times_log(p, p).sum(-1)
            self._describe("target", nodes, p, plogp)
            self.nodes["target_argmax"][nodes] = self.tops["target_top_ids"][nodes, 0]
            known = [row for row, node in enumerate(nodes) if node in self.round.tree.draft_probs]
            if not known:
                continue
            drafted = [nodes[row] for row in known]
            q = torch.stack([self.round.tree.draft_probs[node] for node in drafted])
            self._describe("draft", drafted, q, _times_log(q, q).sum(-1))
            p = p if len(known) == len(nodes) else p[known]
            divergence = (plogp[known] - _times_log(p, q).sum(-1)).clamp_min(0)
            never = ((q == 0) & (p > 0)).any(-1)
            self.nodes["kl_nats"][drafted] = _numpy(divergence.masked_fill(never, torch.inf))
            self.nodes["tv_overlap"][drafted] = _numpy(torch.minimum(p, q).sum(-1))

    def _describe(self, whose: str, nodes: list[int], probs: Tensor, plogp: Tensor) -> None:
        self._fill_tops(whose, nodes, probs)
        self.nodes[f"{whose}_entropy"][nodes] = _numpy((-plogp).clamp_min(0))

    def _fill_tops(self, whose: str, nodes: list[int], probs: Tensor) -> None:
        values, ids = probs.topk(min(ALTERNATIVES, probs.shape[-1]), -1)
        self.tops[f"{whose}_top_ids"][nodes, : ids.shape[-1]] = _numpy(ids)
        self.tops[f"{whose}_top"][nodes, : ids.shape[-1]] = _numpy(values)

    def fill_second_reading(self) -> None:
        """Fill in what the target said of a chain that it read a second time."""
        if not isinstance(self.round.judged, JudgedProbs):
            return
        again = self.round.judged.again
        nodes, tokens = list(again), self.round.tree.tokens
        probs = torch.stack([again[node] for node in nodes])
        first = torch.stack([self.target_probs[node] for node in nodes])
        self._fill_tops("second", nodes, probs)
        self.second["second_overlap"][nodes] = _numpy(torch.minimum(first, probs).sum(-1))
        for row, node in enumerate(nodes):
            for child in self.round.tests.children[node]:
                self.second["second_prob"][child] = float(probs[row, tokens[child]])

    def fill_tests(self) -> None:
        """Fill in every acceptance test, also those that verification did not come to."""
        rows, tests = self.nodes, self.round.tests
        for parent in self.verified:
            reach = float(rows["p_accept_path"][parent])
            if not tests.children[parent]:
                continue
            for child, test in zip(tests.children[parent], tests.tests(parent), strict=True):
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
        rows["target_rank"] = int((p > p[found.token]).sum())
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


def _times_log(p: Tensor, q: Tensor) -> Tensor:
    """Return p ln q, 0 where p is; the logarithm of an exact 0 is slow, so it is never taken."""
    return q.clamp_min(torch.finfo(q.dtype).tiny).log_().mul_(p)


def _numpy(values: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values.cpu().numpy()
    return array
