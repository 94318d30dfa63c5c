"""How numbers of the tree of a round, of other rules, of the best tree and of a race are made."""

from tokenarium.ui.why.formula import Formula
from tokenarium.ui.why.speculate import SPENT

_REPLAYED = "replay_round(result, result.rules[{0}], {1})"
_EVERY = (
    "[len(each.path) for each in (replay_round(result, result.rules[{0}], number) "
    "for number in range(len(result.rounds))) if each is not None]"
)
_CHANCES = "acceptance_vector(by_rank(levels(result)))"
_BEST = f"optimal_tree({_CHANCES}, {{0}}, {{1}})"
_SEQUOIA = "Chen et al., 2024, arXiv:2402.12374: of this run's budget and depth."


def _node(name: str, title: str, meaning: str, unit: str = "", more: str = "") -> Formula:
    """Return a number of one node, counted through all rounds."""
    expression = f'result.node_columns["{name}"][{{0}}]{more}'
    return Formula("node_columns", title, meaning, expression, unit)


def _round(name: str, title: str, meaning: str, unit: str = "") -> Formula:
    return Formula("rounds", title, meaning, f'result.rounds["{name}"][{{0}}]', unit)


def _rule(expression: str, title: str, meaning: str) -> Formula:
    return Formula("rules", title, meaning, expression, "")


def _tree(expression: str, title: str, meaning: str) -> Formula:
    return Formula("node_columns", title, f"{meaning} {_SEQUOIA}", expression, "")


def _race(field: str, expression: str, title: str, meaning: str, unit: str) -> Formula:
    return Formula(field, title, meaning, expression, unit)


TREES = {
    "node_q_raw": _node("q_raw", "probability by the small model", "After what stands before it."),
    "node_p_raw": _node("p_raw", "probability by the large model", "After what stands before it."),
    "node_q_used": _node(
        "q_used", "the small model's probability at its turn", "Once elder siblings have failed."
    ),
    "node_p_used": _node(
        "p_used",
        "the large model's probability at its turn",
        "In the distribution that it is tested with, or drawn from.",
    ),
    "node_accept": _node(
        "accept_prob", "chance to be accepted", "That the rule accepts it at its turn."
    ),
    "node_u": _node("u", "number drawn", "It is accepted if this is below its chance."),
    "node_reach": _node(
        "p_reach", "chance to be tested", "That the rule comes to test it, given this tree."
    ),
    "node_stays": _node(
        "p_accept_path", "chance to stay", "That it and everything above it are accepted."
    ),
    "node_expected": _node(
        "est_value", "expected value", "What the drafter expected of the guess."
    ),
    "node_rank": _node(
        "sibling_rank",
        "rank among siblings",
        "By the small model; 1 is the likeliest.",
        more=" + 1",
    ),
    "node_choice": _node(
        "target_rank",
        "rank by the large model",
        "Among all tokens; 1 is the likeliest.",
        more=" + 1",
    ),
    "node_target_entropy": _node(
        "target_entropy", "entropy of the large model", "Of what follows the node.", "nats"
    ),
    "node_draft_entropy": _node(
        "draft_entropy", "entropy of the small model", "Of what follows the node.", "nats"
    ),
    "node_kl": _node(
        "kl_nats", "divergence of the models", "KL(large || small) after the node.", "nats"
    ),
    "node_overlap": _node(
        "tv_overlap",
        "overlap of the models",
        "Sum of the smaller of both probabilities: the chance that one drawn guess is accepted.",
    ),
    "round_verified": _round("verified", "guesses checked in a round", "In one pass.", "tokens"),
    "round_verify_ms": _round("verify_ms", "time of the pass that verifies", "Of a round.", "ms"),
    "round_accepted_len": _round(
        "accepted_len",
        "accepted guesses of a round",
        "The token that follows them is not counted.",
        "tokens",
    ),
    "replayed": _rule(
        f"len({_REPLAYED}.path)",
        "accepted guesses by another rule",
        "The same tree and the same numbers drawn; no model is asked.",
    ),
    "replayed_mean": _rule(
        f"np.mean({_EVERY})",
        "accepted guesses a round by a rule",
        "The mean over the trees that it could judge.",
    ),
    "replayed_rounds": _rule(f"len({_EVERY})", "rounds", "Trees that the rule could judge."),
    "rank_chance": _tree(
        f"{_CHANCES}[{{0}}]",
        "chance of a rank to stay",
        "Of the draft's choice of this rank, as the best tree is computed with.",
    ),
    "rarest_rank": _tree(
        "min(share.count for share in by_rank(levels(result)))",
        "least count of a rank",
        "Levels in which the rarest rank stood.",
    ),
    "best_first": _tree(f"{_BEST}.count(0)", "first guesses of the best tree", "Below its root."),
    "best_guesses": _tree(f"len({_BEST}) - 1", "guesses of the best tree", "Without its root."),
    "best_tokens": _tree(
        f"expected_tokens({_BEST}, {_CHANCES})",
        "expected tokens a pass of the best tree",
        "1 and the chance of every node to be accepted.",
    ),
    "race_tokens": _race(
        "rounds",
        'result.rounds["new_tokens"][:{0}].sum()',
        "tokens so far",
        "Of the rounds that are done.",
        "tokens",
    ),
    "race_rate": _race(
        "rounds",
        f'1e3 * result.rounds["new_tokens"][:{{0}}].sum() / {SPENT}[:{{0}}].sum()',
        "tokens a second so far",
        "Of the rounds that are done; the prompt is not counted.",
        "tokens/s",
    ),
    "race_pass": _race(
        "rounds",
        'result.rounds["new_tokens"][:{0}].mean()',
        "tokens a pass so far",
        "Of the rounds that are done.",
        "tokens",
    ),
    "race_ms": _race(
        "rounds", f"{SPENT}.sum()", "time of a text", "All rounds; the prompt is not counted.", "ms"
    ),
    "race_plain_rate": _race(
        "plain_step_ms",
        "1e3 * {0} / result.plain_step_ms[:{0}].sum()",
        "tokens a second so far",
        "Of plain decoding; the prompt is not counted.",
        "tokens/s",
    ),
    "race_plain_tokens": _race(
        "plain_step_ms",
        "len(result.plain_step_ms[:{0}])",
        "tokens so far",
        "Of plain decoding, one a pass.",
        "tokens",
    ),
    "race_plain_pass": _race(
        "plain_step_ms",
        "len(result.plain_step_ms[:{0}]) / {0}",
        "tokens a pass",
        "Of plain decoding.",
        "tokens",
    ),
    "race_plain_ms": _race(
        "plain_step_ms", "result.plain_step_ms.sum()", "time of a text", "Of plain decoding.", "ms"
    ),
}
