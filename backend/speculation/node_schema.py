"""Columns of every round and node of a run, and the outcomes that ``status`` numbers."""

from typing import Final

import numpy as np

ROUND: Final = np.dtype(
    [
        ("width", np.int32),
        ("depth", np.int32),
        ("drafted", np.int32),
        ("verified", np.int32),
        ("accepted_len", np.int32),
        ("new_tokens", np.int32),
        ("kv_tokens", np.int32),
        ("first_node", np.int32),
        ("draft_ms", np.float32),
        ("verify_ms", np.float32),
        ("other_ms", np.float32),
        ("explain_ms", np.float32),
    ]
)
"""Columns of a round: most nodes of a level; deepest level; nodes drafted, and those verified, the
root not counted; accepted ones; tokens added to the text, the bonus or replacement included;
tokens in the target's cache; its root's place among all nodes; and its times."""

NODE: Final = np.dtype(
    [
        ("id", np.int32),
        ("parent", np.int32),
        ("round", np.int32),
        ("depth", np.int32),
        ("sibling_rank", np.int32),
        ("draw_order", np.int32),
        ("token_id", np.int32),
        ("source", np.int32),
        ("status", np.int8),
        ("q_raw", np.float32),
        ("q_used", np.float32),
        ("logq_path", np.float32),
        ("est_value", np.float32),
        ("p_raw", np.float32),
        ("p_used", np.float32),
        ("accept_prob", np.float32),
        ("u", np.float64),
        ("u_next", np.float64),
        ("p_reach", np.float32),
        ("p_accept_path", np.float32),
        ("target_argmax", np.int32),
        ("target_rank", np.int32),
        ("target_entropy", np.float32),
        ("draft_entropy", np.float32),
        ("kl_nats", np.float32),
        ("tv_overlap", np.float32),
    ]
)
"""Columns of a node. Its own probabilities (q of the draft, p of the target) are those after its
parent; entropies, divergence and overlap are of the distributions after the node itself, from which
its children were drawn and by which they were tested."""

STATUSES: Final = (
    "root",
    "accepted",
    "rejected",
    "sibling_skipped",
    "not_reached",
    "pruned_before_verify",
    "cut",
    "bonus",
    "residual_resample",
)
"""What became of a node; ``status`` is an index into it."""

REASONS: Final = {
    "root": "the newest token of the text when the round began",
    "accepted": "passed its test, and so did everything above it",
    "rejected": "was tested and failed",
    "sibling_skipped": "was not tested: a sibling drawn before it was accepted",
    "not_reached": "was not tested: something above it was rejected or skipped",
    "pruned_before_verify": "was drafted, then left out to keep to the tree budget",
    "cut": "was accepted, but the text had ended before it",
    "bonus": "drawn from the target after a path that was accepted to its end, at no extra cost",
    "residual_resample": "drawn from the target's residual distribution: every guess was rejected",
}
