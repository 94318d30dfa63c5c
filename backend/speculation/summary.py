"""Statistics of a run: acceptance by depth and rank, calibration, outcomes, time.

A level is one node of the text so far together with its verified children: the rule either accepts
one of them or goes no further. Only levels that verification reached count, and none after the end
of the text, so that every number is an estimate of the same probability in the next run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.speculation.node_schema import STATUSES

if TYPE_CHECKING:
    from tokenarium.backend.speculation.result import SpeculationResult

ACCEPTED = (STATUSES.index("accepted"), STATUSES.index("cut"))
_TESTED = (*ACCEPTED, STATUSES.index("rejected"))
_CUT = STATUSES.index("cut")
_ROOT, _PRUNED = STATUSES.index("root"), STATUSES.index("pruned_before_verify")


@dataclass(frozen=True)
class Share:
    """How often something happened, of how many times it could."""

    at: float
    """Depth, rank, or mean of the numbers in a bin."""
    count: int
    happened: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.happened / self.count


@dataclass(frozen=True)
class Levels:
    """The L levels of a run that verification reached."""

    depth: NDArray[np.int32]
    """[L] of the children."""
    accepted: NDArray[np.int32]
    """[L] rank by the draft's probability of the child that was accepted; -1 for none."""
    ranks: tuple[NDArray[np.int32], ...]
    """[L] ranks of the children that were verified."""
    draft_entropy: NDArray[np.float32]
    """[L] nats, of the distribution that the children were drawn from; NaN where there is none."""

    @property
    def acceptance(self) -> float:
        """Share of levels at which a drafted token was accepted; NaN without levels."""
        return float((self.accepted >= 0).mean()) if len(self.accepted) else float("nan")


def levels(result: "SpeculationResult") -> Levels:
    """Return every level of a run that verification reached."""
    nodes = result.node_columns
    counted = (nodes["draw_order"] >= 0) & (nodes["status"] != _PRUNED)
    drafted = np.flatnonzero(counted & ~_after_the_end(result))
    on_path = np.isin(nodes["status"], (_ROOT, *ACCEPTED))
    drafted = drafted[on_path[nodes["parent"][drafted]]]
    children: dict[int, list[int]] = {}
    for node in drafted.tolist():
        children.setdefault(int(nodes["parent"][node]), []).append(node)
    ranks = nodes["sibling_rank"]
    taken = np.isin(nodes["status"], ACCEPTED)
    accepted = [next((ranks[n] for n in below if taken[n]), -1) for below in children.values()]
    return Levels(
        np.array([nodes["depth"][below[0]] for below in children.values()], np.int32),
        np.array(accepted, np.int32),
        tuple(ranks[below] for below in children.values()),
        nodes["draft_entropy"][list(children)],
    )


def _after_the_end(result: "SpeculationResult") -> NDArray[np.bool_]:
    """Return [N] which guesses follow the last token of the text, such as an end-of-text."""
    nodes = result.node_columns
    after: NDArray[np.bool_] = nodes["status"] == _CUT
    if len(result.token_node):
        after = after | (nodes["parent"] == result.token_node[-1])
    parents = nodes["parent"]
    for _ in range(int(nodes["depth"].max(initial=0))):
        after = after | ((parents >= 0) & after[parents])
    return after


def by_depth(found: Levels) -> list[Share]:
    """Return how often a drafted token was accepted, by its depth in the tree."""
    hit = found.accepted >= 0
    return [
        Share(depth, int((found.depth == depth).sum()), int(hit[found.depth == depth].sum()))
        for depth in np.unique(found.depth).tolist()
    ]


def by_rank(found: Levels) -> list[Share]:
    """Return how often the child of each rank by the draft's probability is the accepted one."""
    most = max((int(ranks.max()) for ranks in found.ranks), default=-1)
    there = [sum(bool((ranks == rank).any()) for ranks in found.ranks) for rank in range(most + 1)]
    return [
        Share(rank, count, int((found.accepted == rank).sum()))
        for rank, count in enumerate(there)
        if count
    ]


def by_entropy(found: Levels, bins: int = 6) -> list[Share]:
    """Return how often a drafted token was accepted, by the draft's entropy, in equal bins."""
    known = np.isfinite(found.draft_entropy)
    order = np.argsort(found.draft_entropy[known], kind="stable")
    values, hit = found.draft_entropy[known][order], (found.accepted >= 0)[known][order]
    parts = np.array_split(np.arange(len(values)), min(bins, len(values)) or 1)
    return [
        Share(float(values[part].mean()), len(part), int(hit[part].sum()))
        for part in parts
        if len(part)
    ]


def calibration(result: "SpeculationResult", column: str, bins: int = 10) -> list[Share]:
    """Return how often drafted tokens were accepted, by how often that was expected.

    Args:
        column: of the nodes: ``est_value``, the drafter's estimate for all verified nodes,
            ``p_accept_path``, the rule's probability; or ``accept_prob``, of tested nodes.
        bins: of equal width, between 0 and 1.
    """
    nodes = result.node_columns
    counted = (nodes["draw_order"] >= 0) & (nodes["status"] != _PRUNED)
    if column == "accept_prob":
        counted &= np.isin(nodes["status"], _TESTED)
    counted &= np.isfinite(nodes[column]) & ~_after_the_end(result)
    expected = nodes[column][counted].astype(np.float64)
    hit = np.isin(nodes["status"][counted], ACCEPTED)
    place = np.minimum((expected * bins).astype(int), bins - 1)
    return [
        Share(
            float(expected[place == n].mean()), int((place == n).sum()), int(hit[place == n].sum())
        )
        for n in range(bins)
        if (place == n).any()
    ]


def outcome_counts(result: "SpeculationResult") -> dict[str, int]:
    """Return how many drafted nodes had each outcome, a word of ``node_schema.STATUSES``."""
    nodes = result.node_columns
    counts = np.bincount(nodes["status"][nodes["draw_order"] >= 0], minlength=len(STATUSES))
    found = dict(zip(STATUSES, counts.tolist(), strict=True))
    return {outcome: count for outcome, count in found.items() if count}


@dataclass(frozen=True)
class Pace:
    """Where the time of a new token goes, in ms; the prompt and records are not counted."""

    draft_ms: float
    verify_ms: float
    other_ms: float
    plain_ms: float
    """Of autoregressive decoding in the same run; NaN where it was not asked."""

    @property
    def total_ms(self) -> float:
        """Of a token with drafts."""
        return self.draft_ms + self.verify_ms + self.other_ms

    @property
    def speedup(self) -> float:
        """How many times faster than autoregressive decoding; NaN where that was not asked."""
        return self.plain_ms / self.total_ms if self.total_ms else float("nan")


def pace(result: "SpeculationResult") -> Pace:
    """Return the time of a token, with drafts and without."""
    new, plain = len(result.token_ids), len(result.plain_ids)
    draft, verify, other = (
        float(result.rounds[name].sum()) / new if new else float("nan")
        for name in ("draft_ms", "verify_ms", "other_ms")
    )
    alone = float(result.plain_step_ms.sum()) / plain if plain else float("nan")
    return Pace(draft, verify, other, alone)


def acceptance_vector(shares: Sequence[Share]) -> list[float]:
    """Return [k] probabilities that the sibling of each rank is accepted, as Sequoia needs them.

    They were counted over different levels, so that their sum can pass 1; they are then divided by
    it.

    Args:
        shares: of ``by_rank``.
    """
    most = max((int(share.at) for share in shares), default=-1)
    vector = np.zeros(most + 1)
    for share in shares:
        vector[int(share.at)] = share.share
    scaled: Any = vector / max(1.0, vector.sum())
    return [float(share) for share in scaled]
