"""The log of a run: every round and node with its probabilities, random numbers and outcome."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.engine import Round
from tokenarium.backend.speculation.node_schema import NODE, ROUND, STATUSES
from tokenarium.backend.speculation.replay import outcomes
from tokenarium.backend.speculation.rule import Rule
from tokenarium.backend.speculation.tree import ROOT
from tokenarium.backend.speculation.whatif import evaluate_rules

ALTERNATIVES = 5
_UNKNOWN = {"parent": -1, "draw_order": -1, "sibling_rank": -1, "target_argmax": -1,
            "target_rank": -1}  # fmt: skip


class RunLog:
    """Rounds and nodes of a run so far; ``rules`` test every tree beside the run's own rule."""

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
                "judged_accept",
                "judged_next",
            )
        }
        self.token_node: list[int] = []
        self.count = 0

    @torch.inference_mode()
    def add(self, round_: Round, kept: int) -> None:
        """Add a round, of whose tokens ``kept`` belong to the text."""
        start = time.perf_counter()
        rows = _RoundRows(round_, self.count, len(self.rounds))
        rows.fill_drafted(self._index_of)
        rows.fill_distributions()
        rows.fill_tests()
        rows.fill_status(kept)
        found = evaluate_rules(self._rules, round_.tree, round_.targets, round_.next_uniforms)
        self.nodes.append(np.concatenate((rows.nodes, rows.last())))
        for name, values in rows.tops.items():
            self.columns[name].append(_one_more(values))
        self.columns["judged_accept"].append(_one_more(found.accept_probs))
        self.columns["judged_next"].append(_one_more(found.next_tokens.astype(np.int32)))
        path = [*round_.verification.path[1:], len(round_.tree)]
        self.token_node += [self.count + node for node in path[:kept]]
        self.rounds.append(_round(round_, rows, kept, (time.perf_counter() - start) * 1e3))
        self.count += len(round_.tree) + 1

    def _index_of(self, source: str) -> int:
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the log as fields of a result."""
        wide, many = ALTERNATIVES, len(self._rules)
        empty: dict[str, NDArray[Any]] = {
            "target_top_ids": np.zeros((0, wide), np.int32),
            "target_top": np.zeros((0, wide), np.float32),
            "draft_top_ids": np.zeros((0, wide), np.int32),
            "draft_top": np.zeros((0, wide), np.float32),
            "judged_accept": np.zeros((0, many), np.float64),
            "judged_next": np.zeros((0, many), np.int32),
        }
        found: dict[str, NDArray[Any]] = {
            name: np.concatenate([none, *self.columns[name]]) for name, none in empty.items()
        }
        found["rounds"] = np.concatenate((np.zeros(0, ROUND), *self.rounds))
        found["node_columns"] = np.concatenate((np.zeros(0, NODE), *self.nodes))
        found["token_node"] = np.asarray(self.token_node, np.int32)
        return found


class _RoundRows:
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
        """Fill in what the distributions p and q after each node are like."""
        rows, tree = self.nodes, self.round.tree
        for node in self.verified:
            p = self.target_probs[node]
            values, ids = p.topk(min(ALTERNATIVES, len(p)))
            rows["target_argmax"][node] = int(ids[0])
            rows["target_entropy"][node] = _entropy(p)
            self._top("target", node, values, ids)
            q = tree.draft_probs.get(node)
            if q is None:
                continue
            rows["draft_entropy"][node] = _entropy(q)
            self._top("draft", node, *q.topk(min(ALTERNATIVES, len(q))))
            both = torch.special.xlogy(p, p) - torch.special.xlogy(p, q)
            rows["kl_nats"][node] = max(0.0, float(both.sum()))
            rows["tv_overlap"][node] = float(torch.minimum(p, q).sum())

    def _top(self, whose: str, node: int, values: Tensor, ids: Tensor) -> None:
        count = len(ids)
        self.tops[f"{whose}_top_ids"][node, :count] = _numpy(ids)
        self.tops[f"{whose}_top"][node, :count] = _numpy(values)

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


def _round(round_: Round, nodes: _RoundRows, kept: int, explain_ms: float) -> NDArray[Any]:
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


def _blank(count: int) -> NDArray[Any]:
    rows = np.zeros(count, NODE)
    for name in NODE.names or ():
        if rows.dtype[name].kind == "f":
            rows[name] = np.nan
    for name, value in _UNKNOWN.items():
        rows[name] = value
    return rows


def _one_more(values: NDArray[Any]) -> NDArray[Any]:
    """Add the row of the token that ends a round, of which nothing more is known."""
    blank = np.full_like(values[:1], np.nan if values.dtype.kind == "f" else -1)
    return np.concatenate((values, blank))


def _entropy(probs: Tensor) -> float:
    return max(0.0, -float(torch.special.xlogy(probs, probs).sum()))


def _numpy(values: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values.cpu().numpy()
    return array
