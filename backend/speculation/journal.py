"""Writes down every round and node of a run: odds, draws, and what became of each guess."""

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.speculation.drafting import Drafting
from tokenarium.backend.speculation.engine import Round
from tokenarium.backend.speculation.node_schema import NODE, ROUND, STATUSES
from tokenarium.backend.speculation.replay import fates
from tokenarium.backend.speculation.rule import Rest, Rule, Trial
from tokenarium.backend.speculation.tree import ROOT
from tokenarium.backend.speculation.verify import trials_of
from tokenarium.backend.speculation.whatif import judge_all

ALTERNATIVES = 5
_UNKNOWN = {"parent": -1, "draw_order": -1, "sibling_rank": -1, "target_argmax": -1,
            "target_rank": -1}  # fmt: skip


class Journal:
    """What is known of a run so far; ``rules`` judge every tree beside the run's own."""

    def __init__(self, rule: Rule, rules: tuple[Rule, ...], drafting: Drafting) -> None:
        self._rule, self._rules, self._drafting = rule, rules, drafting
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
    def write(self, round_: Round, kept: int) -> None:
        """Write down a round, of whose tokens ``kept`` belong to the text."""
        start = time.perf_counter()
        page = _Page(round_, self._rule, self.count, len(self.rounds))
        page.guesses(self._place_of)
        page.after_nodes()
        page.judge()
        page.outcome(kept)
        judged = judge_all(self._rules, round_.tree, round_.targets, round_.follow)
        last = page.last()
        self.nodes.append(np.concatenate((page.rows, last)))
        for name, values in page.tops.items():
            self.columns[name].append(_one_more(values))
        self.columns["judged_accept"].append(_one_more(judged.accept))
        self.columns["judged_next"].append(_one_more(judged.follow.astype(np.int32)))
        path = [*round_.walk.path[1:], len(round_.tree)]
        self.token_node += [self.count + node for node in path[:kept]]
        self.rounds.append(_round(round_, page, kept, (time.perf_counter() - start) * 1e3))
        self.count += len(round_.tree) + 1

    def _place_of(self, source: str) -> int:
        if source not in self.sources:
            self.sources.append(source)
        return self.sources.index(source)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was written as the fields of a result."""
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


class _Page:
    """The rows of one round's tree, filled step by step."""

    def __init__(self, round_: Round, rule: Rule, first: int, number: int) -> None:
        self.round, self.rule, self.first = round_, rule, first
        tree = round_.tree
        self.rows = _blank(len(tree))
        self.rows["id"] = first + np.arange(len(tree))
        self.rows["round"] = number
        self.tops = {
            "target_top_ids": np.full((len(tree), ALTERNATIVES), -1, np.int32),
            "target_top": np.full((len(tree), ALTERNATIVES), np.nan, np.float32),
            "draft_top_ids": np.full((len(tree), ALTERNATIVES), -1, np.int32),
            "draft_top": np.full((len(tree), ALTERNATIVES), np.nan, np.float32),
        }
        self.verified = tree.verified()
        self.laws = dict(zip(self.verified, round_.targets.telling(), strict=True))
        self.rests: dict[int, Tensor] = {}
        self.children: list[list[int]] = [[] for _ in tree.tokens]  # pruned ones too
        for node, parent in enumerate(tree.parents):
            if node:
                self.children[parent].append(node)

    def guesses(self, place_of: Any) -> None:
        """What each node is, and what both laws after its parent gave it."""
        tree, rows = self.round.tree, self.rows
        rows["token_id"] = tree.tokens
        rows["est_value"] = tree.values
        rows["source"] = [place_of(source) for source in tree.sources]
        rows["u"], rows["u_next"] = self.round.accept, self.round.follow
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
            target, draft = self.laws.get(parent), tree.laws.get(parent)
            if target is not None:
                given = target[tokens.to(target.device)]
                rows["p_raw"][children] = _numpy(given)
                rows["target_rank"][children] = _numpy((target > given[:, None]).sum(1))
            if draft is not None:
                guessed = _numpy(draft[tokens.to(draft.device)])
                rows["q_raw"][children] = guessed
                rows["sibling_rank"][children] = np.argsort(np.argsort(-guessed, kind="stable"))
                with np.errstate(divide="ignore"):
                    rows["logq_path"][children] = rows["logq_path"][parent] + np.log(guessed)
            else:
                rows["sibling_rank"][children] = rows["draw_order"][children]

    def after_nodes(self) -> None:
        """What both laws after each node are like."""
        rows, tree = self.rows, self.round.tree
        for node in self.verified:
            target = self.laws[node]
            values, ids = target.topk(min(ALTERNATIVES, len(target)))
            rows["target_argmax"][node] = int(ids[0])
            rows["target_entropy"][node] = _entropy(target)
            self._top("target", node, values, ids)
            draft = tree.laws.get(node)
            if draft is None:
                continue
            rows["draft_entropy"][node] = _entropy(draft)
            self._top("draft", node, *draft.topk(min(ALTERNATIVES, len(draft))))
            both = torch.special.xlogy(target, target) - torch.special.xlogy(target, draft)
            rows["kl_nats"][node] = max(0.0, float(both.sum()))
            rows["tv_overlap"][node] = float(torch.minimum(target, draft).sum())

    def _top(self, whose: str, node: int, values: Tensor, ids: Tensor) -> None:
        count = len(ids)
        self.tops[f"{whose}_top_ids"][node, :count] = _numpy(ids)
        self.tops[f"{whose}_top"][node, :count] = _numpy(values)

    def judge(self) -> None:
        """Every test at its turn, also those that the walk did not come to."""
        rows, tree = self.rows, self.round.tree
        families = tree.families()
        for parent in self.verified:
            reach = float(rows["p_accept_path"][parent])
            children = families[parent]
            tokens = [tree.tokens[child] for child in children]
            if not children:
                continue
            trials: list[Trial] = []
            draft = tree.laws.get(parent)
            for test in trials_of(self.rule, self.round.targets[parent], draft, tokens):
                if isinstance(test, Rest):
                    self.rests[parent] = test.law[0]
                else:
                    trials.append(test)
            for child, trial in zip(children, trials, strict=True):
                rows["p_used"][child], rows["q_used"][child] = trial.target, trial.draft
                rows["accept_prob"][child] = trial.accept
                rows["p_reach"][child] = reach
                rows["p_accept_path"][child] = reach * trial.accept
                reach *= 1 - trial.accept

    def outcome(self, kept: int) -> None:
        """What became of every node."""
        tree, found = self.round.tree, self.round.walk
        cut = found.path[1 + kept :]
        words = fates(found, tree.parents, set(self.verified))
        self.rows["status"] = [STATUSES.index(word) for word in words]
        self.rows["status"][cut] = STATUSES.index("cut")
        whole = kept > len(found.path) - 1
        source = "bonus" if found.source == "bonus" else "residual_resample"
        self.ending = source if whole else "cut"

    def last(self) -> NDArray[Any]:
        """The row of the token that follows the accepted path."""
        found, rows = self.round.walk, _blank(1)
        parent = found.path[-1]
        shown = self.laws[parent]
        rows["id"], rows["round"] = self.first + len(self.rows), self.rows["round"][0]
        rows["parent"], rows["depth"] = self.first + parent, len(found.path)
        rows["token_id"], rows["status"] = found.token, STATUSES.index(self.ending)
        rows["p_raw"] = float(shown[found.token])
        rows["target_rank"] = int((shown > shown[found.token]).sum())
        law = self.round.targets[parent]
        used = self.rests[parent] if found.source == "resampled" else law
        rows["p_used"] = float(used[found.token])
        rows["u_next"] = self.round.follow[parent]
        return rows


def _round(round_: Round, page: _Page, kept: int, explain_ms: float) -> NDArray[Any]:
    rows = np.zeros(1, ROUND)
    depths = page.rows["depth"][page.verified]
    beside = len(page.verified) - 1
    values = {
        "width": np.bincount(depths[1:]).max() if beside else 0,
        "depth": depths.max(),
        "drafted": len(round_.tree) - 1,
        "verified": beside,
        "accepted_len": len(round_.walk.path) - 1,
        "new_tokens": kept,
        "kv_tokens": round_.kv_tokens,
        "first_node": page.first,
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


def _entropy(law: Tensor) -> float:
    return max(0.0, -float(torch.special.xlogy(law, law).sum()))


def _numpy(values: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values.cpu().numpy()
    return array
