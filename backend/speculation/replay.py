"""Verification of a stored tree by another rule, from stored columns, without the model."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenarium.backend.speculation.result import SpeculationResult
    from tokenarium.backend.speculation.verify import Verification


@dataclass(frozen=True)
class ReplayedRound:
    """One tree as a rule verifies it."""

    outcomes: tuple[str, ...]
    """By node of the tree, the root first: its outcome, a word of ``node_schema.STATUSES``."""
    path: tuple[int, ...]
    """Accepted nodes, as their places within the tree, the root not among them."""
    token: int
    """What follows the last of them."""
    ending: str
    """``bonus`` or ``residual_resample``: how it was sampled."""


def tree_rows(result: "SpeculationResult", number: int) -> range:
    """Return the nodes of a round's tree, as places among all nodes; the token after it is not."""
    firsts = result.rounds["first_node"]
    last = number + 1 == len(firsts)
    after = len(result.node_columns) if last else int(firsts[number + 1])
    return range(int(firsts[number]), after - 1)


def replay_round(result: "SpeculationResult", rule: str, number: int) -> ReplayedRound | None:
    """Verify the tree of a round by a rule that was evaluated when the tree was drafted.

    Args:
        result: of a run.
        rule: one of ``result.rules``.
        number: of the round, from 0.
    Returns: None where the rule cannot be evaluated on the tree.
    Raises:
        ValueError: if the rule was not evaluated in the run, or there is no such round.
    """
    from tokenarium.backend.speculation.rule import Rule
    from tokenarium.backend.speculation.whatif import verify_stored

    if rule not in result.rules:
        raise ValueError(
            f"rule={rule!r} was not evaluated in this run: choose {', '.join(result.rules)}"
        )
    if not 0 <= number < len(result.rounds):
        raise ValueError(f"round={number} is not among the {len(result.rounds)} of this run")
    rows = tree_rows(result, number)
    nodes, column = result.node_columns[rows.start : rows.stop], result.rules.index(rule)
    parents = [-1, *(nodes["parent"][1:] - rows.start).tolist()]
    found = verify_stored(
        Rule.registry.find(rule)(),
        parents,
        nodes["token_id"].tolist(),
        result.judged_accept[rows.start : rows.stop, column].tolist(),
        result.judged_next[rows.start : rows.stop, column].tolist(),
        nodes["u"].tolist(),
        nodes["p_raw"].tolist(),
    )
    if found is None:
        return None
    verified = set((nodes["target_argmax"] >= 0).nonzero()[0].tolist())
    ending = "bonus" if found.ending == "bonus" else "residual_resample"
    return ReplayedRound(
        tuple(outcomes(found, parents, verified)), tuple(found.path[1:]), found.token, ending
    )


def outcomes(found: "Verification", parents: Sequence[int], verified: Collection[int]) -> list[str]:
    """Return the outcome of every node of a verified tree, a word of ``node_schema.STATUSES``.

    Args:
        found: what was accepted.
        parents: [N] by node; the root is node 0.
        verified: nodes that the target read.
    """
    path = set(found.path)

    def outcome(node: int) -> str:
        if node == 0:
            return "root"
        if node not in verified:
            return "pruned_before_verify"
        if node in path:
            return "accepted"
        if node in found.tests:
            return "rejected"
        return "sibling_skipped" if parents[node] in path else "not_reached"

    return [outcome(node) for node in range(len(parents))]
