"""Counts of a run that must agree, whatever was drafted."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.speculation.auditing.audit import Check
from tokenarium.backend.speculation.node_schema import STATUSES

NAME = "counts"


def check_counts(
    rounds: NDArray[Any], nodes: NDArray[Any], token_ids: NDArray[Any], token_node: NDArray[Any]
) -> Check:
    """Check five identities between the rounds of a run, its nodes, and its text.

    Args:
        rounds: [R] with the columns of ``node_schema.ROUND``.
        nodes: [N] with the columns of ``node_schema.NODE``.
        token_ids: [S] new tokens.
        token_node: [S] the node that became each.
    """
    wrong = [name for name, holds in _identities(rounds, nodes, token_ids, token_node) if not holds]
    numbers = {
        "rounds": float(len(rounds)),
        "verified": float(rounds["verified"].sum()),
        "accepted": float(rounds["accepted_len"].sum()),
        "new_tokens": float(len(token_ids)),
    }
    if wrong:
        return Check(NAME, "failed", f"Not so: {'; '.join(wrong)}.", numbers)
    evidence = (
        f"{len(rounds)} rounds, {numbers['verified']:.0f} guesses verified, "
        f"{numbers['accepted']:.0f} accepted and {len(token_ids)} new tokens agree in rounds, "
        "nodes and text."
    )
    return Check(NAME, "passed", evidence, numbers)


def _identities(
    rounds: NDArray[Any], nodes: NDArray[Any], token_ids: NDArray[Any], token_node: NDArray[Any]
) -> list[tuple[str, bool]]:
    count = len(rounds)
    drafted = nodes["draw_order"] >= 0

    def per_round(which: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(nodes["round"][which], minlength=count)

    accepted = drafted & _any(nodes, "accepted", "cut")
    left_out = _unverified(nodes)
    histogram = np.bincount(rounds["accepted_len"])
    lengths = np.arange(len(histogram))
    rate = (
        accepted.sum() * rounds["verified"].sum()
        == rounds["accepted_len"].sum() * (drafted & ~left_out).sum()
    )
    closed = rounds["new_tokens"] - rounds["accepted_len"]
    return [
        (
            "every round is counted once by its accepted length and has one root",
            histogram.sum() == count == _any(nodes, "root").sum(),
        ),
        (
            "accepted nodes of each round are its accepted length",
            np.array_equal(per_round(accepted), rounds["accepted_len"])
            and accepted.sum() == (lengths * histogram).sum(),
        ),
        (
            "the text is the accepted tokens of every round and the one that follows them, cut in "
            "the last round only",
            len(token_ids) == rounds["new_tokens"].sum()
            and bool((closed[:-1] == 1).all() and (closed[-1:] <= 1).all())
            and np.array_equal(nodes["token_id"][token_node], token_ids),
        ),
        ("the acceptance rate is the same by nodes and by rounds", bool(rate)),
        (
            "guesses of each round are those it verified and those left out",
            np.array_equal(per_round(drafted), rounds["drafted"])
            and np.array_equal(per_round(drafted & ~left_out), rounds["verified"]),
        ),
    ]


def _any(nodes: NDArray[Any], *statuses: str) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isin(
        nodes["status"], [STATUSES.index(status) for status in statuses]
    )
    return found


def _unverified(nodes: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which nodes were left out, with all below them."""
    out = _any(nodes, "pruned_before_verify")
    for place in range(len(nodes)):
        if (parent := nodes["parent"][place]) >= 0 and out[parent]:
            out[place] = True
    return out
