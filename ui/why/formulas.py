"""How numbers of the pages are made of a result's fields: each formula is one line of Python.

A formula is written here and nowhere else: the page shows it, evaluates it, and hands it out to be
run again. Of a browser it takes whole numbers only, for what stands in its braces.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SPENT = '(result.rounds["draft_ms"] + result.rounds["verify_ms"] + result.rounds["other_ms"])'
WITH_DRAFTS = f'batch_means({SPENT}, result.rounds["new_tokens"])'


@dataclass(frozen=True)
class Formula:
    """A number that is more than one place of one field."""

    field: str
    """The field of the result whose definition stands with it."""
    title: str
    meaning: str
    """How it is made of the field."""
    expression: str
    """Python in which ``result`` is the run's result, ``np`` NumPy; ``{0}`` the first index."""
    unit: str | None = None
    """Where it is another than the field's."""


TRACE = {
    "attention_share": Formula(
        "received_mass",
        "share of all attention",
        "The mean over heads, times the number of tokens that can see the token, over the length.",
        "100 * result.received_by_token()[{0}] * (result.length - {0}) / result.length",
        "%",
    ),
    "received": Formula(
        "received_mass",
        "received attention, all heads",
        "The mean over all heads of the model.",
        "result.received_by_token()[{0}]",
    ),
    "sink_heads": Formula(
        "sink_score",
        "heads with a sink",
        "Heads whose score is above the threshold.",
        "(result.sink_score > result.sink_threshold).sum()",
        "heads",
    ),
    "heads": Formula(
        "sink_score",
        "heads",
        "Heads of which a score is known.",
        "np.isfinite(result.sink_score).sum()",
        "heads",
    ),
    "learned_sink": Formula(
        "learned_sink_mass",
        "attention to the learned sink",
        "The mean over heads and tokens.",
        "np.nanmean(result.learned_sink_mass)",
    ),
    "surprisal_before": Formula(
        "surprisal_nats",
        "mean surprisal within the trained context",
        "The mean over the tokens that the model was trained to read together.",
        "np.nanmean(result.surprisal_nats[:result.context], dtype=float)",
    ),
    "surprisal_beyond": Formula(
        "surprisal_nats",
        "mean surprisal beyond the trained context",
        "The mean over the tokens after those.",
        "np.nanmean(result.surprisal_nats[result.context:], dtype=float)",
    ),
    "tokens": Formula(
        "token_ids", "tokens", "How many tokens were read.", "len(result.token_ids)", "tokens"
    ),
    "chance": Formula(
        "surprisal_nats",
        "probability of the token",
        "The surprisal, as the probability that it is the logarithm of.",
        "np.exp(-float(result.surprisal_nats[{0}]))",
        "",
    ),
}
CACHE = {
    "cache_share": Formula(
        "cache_bytes",
        "share of the other cache's bytes",
        "What this policy holds after its last step, over what the policy compared with holds.",
        "result.cache_bytes[{0}, {1}] / result.cache_bytes[{2}, {3}]",
        "",
    ),
    "kl_mean": Formula(
        "kl_nats",
        "mean divergence from the full cache",
        "The mean over the policy's steps.",
        "np.nanmean(result.kl_nats[{0}, :{1}])",
    ),
    "kl_low": Formula(
        "kl_nats",
        "lower end of the 95% interval of the mean divergence",
        "By batch means over consecutive steps (Schmeiser, 1982); never below 0.",
        "max(0.0, batch_means(result.kl_nats[{0}, :{1}]).low)",
    ),
    "kl_high": Formula(
        "kl_nats",
        "upper end of the 95% interval of the mean divergence",
        "By batch means over consecutive steps (Schmeiser, 1982).",
        "batch_means(result.kl_nats[{0}, :{1}]).high",
    ),
    "kl_times": Formula(
        "kl_nats",
        "how many times more divergence",
        "The mean over this policy's steps, over that of the policy that changes least.",
        "np.nanmean(result.kl_nats[{0}, :{1}]) / np.nanmean(result.kl_nats[{2}, :{3}])",
        "",
    ),
    "lost": Formula(
        "lost_mass",
        "attention lost",
        "The mean over the policy's steps and all layers.",
        "np.nanmean(result.lost_mass[{0}, :{1}])",
    ),
    "steps": Formula(
        "token_ids",
        "steps",
        "Tokens that were generated.",
        "(result.token_ids[{0}] >= 0).sum()",
        "tokens",
    ),
    "step_ms_median": Formula(
        "step_ms",
        "median time per token",
        "The median of the policy's steps.",
        "np.nanpercentile(result.step_ms[{0}, :{1}], 50)",
    ),
    "step_ms_p90": Formula(
        "step_ms",
        "90th percentile of the time per token",
        "Nine of ten of the policy's steps take less.",
        "np.nanpercentile(result.step_ms[{0}, :{1}], 90)",
    ),
    "same_choice": Formula(
        "top1_agree",
        "same choice as the full model's",
        "The mean over the policy's steps.",
        "np.nanmean(result.top1_agree[{0}, :{1}])",
    ),
}
SPECULATE = {
    "speedup": Formula(
        "rounds",
        "times faster than plain decoding",
        "Tokens per second with drafts, over those without; the prompt is not counted.",
        "result.tokens_per_s / result.plain_tokens_per_s",
        "",
    ),
    "slowdown": Formula(
        "rounds",
        "times slower than plain decoding",
        "Tokens per second without drafts, over those with; the prompt is not counted.",
        "result.plain_tokens_per_s / result.tokens_per_s",
        "",
    ),
    "drafted_ms": Formula(
        "rounds",
        "time of a new token with drafts",
        "Time of all rounds over all new tokens.",
        f"{WITH_DRAFTS}.value",
        "ms",
    ),
    "plain_ms": Formula(
        "plain_step_ms",
        "time of a new token without drafts",
        "The mean over the steps of plain decoding.",
        "batch_means(result.plain_step_ms).value",
    ),
    "drafted_low": Formula(
        "rounds",
        "lower end of the 95% interval of a token's time with drafts",
        "By batch means over consecutive rounds (Schmeiser, 1982).",
        f"{WITH_DRAFTS}.low",
        "ms",
    ),
    "drafted_high": Formula(
        "rounds",
        "upper end of the 95% interval of a token's time with drafts",
        "By batch means over consecutive rounds (Schmeiser, 1982).",
        f"{WITH_DRAFTS}.high",
        "ms",
    ),
    "plain_low": Formula(
        "plain_step_ms",
        "lower end of the 95% interval of a plain token's time",
        "By batch means over consecutive steps (Schmeiser, 1982).",
        "batch_means(result.plain_step_ms).low",
    ),
    "plain_high": Formula(
        "plain_step_ms",
        "upper end of the 95% interval of a plain token's time",
        "By batch means over consecutive steps (Schmeiser, 1982).",
        "batch_means(result.plain_step_ms).high",
    ),
    "draft_cost": Formula(
        "rounds",
        "drafting, in plain tokens",
        "Mean time that a round drafts, over the mean time of a plain token.",
        'result.rounds["draft_ms"].mean() / result.plain_step_ms.mean()',
        "",
    ),
    "verify_cost": Formula(
        "rounds",
        "verifying, in plain tokens",
        "Mean time that a round verifies, over the mean time of a plain token.",
        'result.rounds["verify_ms"].mean() / result.plain_step_ms.mean()',
        "",
    ),
    "verify_median": Formula(
        "rounds",
        "median time of a verifying pass",
        "The median over the rounds.",
        'np.median(result.rounds["verify_ms"])',
        "ms",
    ),
    "plain_median": Formula(
        "plain_step_ms",
        "median time of a plain token",
        "The median over the steps of plain decoding.",
        "np.median(result.plain_step_ms)",
    ),
    "verified_width": Formula(
        "rounds",
        "tokens that a verifying pass reads",
        "The guesses of a round and the token before them, mean over the rounds.",
        '1 + result.rounds["verified"].mean()',
        "tokens",
    ),
    "new_tokens": Formula(
        "token_ids", "new tokens", "How many were added.", "len(result.token_ids)", "tokens"
    ),
    "passes": Formula(
        "rounds", "passes", "Rounds, each one pass of the target.", "len(result.rounds)", "passes"
    ),
    "tokens_a_pass": Formula(
        "rounds",
        "tokens per target call",
        "New tokens over passes of the target, the one over the prompt not counted.",
        "result.tokens_per_target_call",
        "tokens",
    ),
    "accepted": Formula(
        "rounds",
        "accepted guesses",
        "The sum over the rounds; none after the end of the text.",
        "result.accepted_in_text.sum()",
        "tokens",
    ),
    "verified": Formula(
        "rounds",
        "verified guesses",
        "The sum over the rounds.",
        'result.rounds["verified"].sum()',
        "tokens",
    ),
    "accepted_a_round": Formula(
        "rounds",
        "mean accepted length",
        "Accepted guesses over rounds; the token that follows them is not counted.",
        "result.accepted_in_text.sum() / len(result.rounds)",
        "tokens",
    ),
    "acceptance_length": Formula(
        "rounds",
        "mean acceptance length, as vLLM counts it",
        "1 + accepted guesses over rounds.",
        "1 + result.accepted_in_text.sum() / len(result.rounds)",
        "tokens",
    ),
    "acceptance_rate": Formula(
        "node_columns",
        "acceptance rate",
        "Levels at which a guess was accepted over levels that were tested.",
        "levels(result).acceptance",
    ),
    "accepted_share": Formula(
        "rounds",
        "accepted of verified",
        "Accepted guesses over verified guesses.",
        'result.accepted_in_text.sum() / result.rounds["verified"].sum()',
        "",
    ),
    "wasted_share": Formula(
        "rounds",
        "wasted guesses",
        "Verified and not accepted, over verified.",
        '1 - result.accepted_in_text.sum() / result.rounds["verified"].sum()',
        "",
    ),
    "pruned_share": Formula(
        "rounds",
        "left out unverified",
        "Drafted, then dropped to keep to the budget, over drafted.",
        '1 - result.rounds["verified"].sum() / result.rounds["drafted"].sum()',
        "",
    ),
    "tokens_per_s": Formula(
        "rounds",
        "tokens per second",
        "New tokens over the time of drafting, verifying and bookkeeping.",
        "result.tokens_per_s",
        "tokens/s",
    ),
    "plain_tokens_per_s": Formula(
        "plain_step_ms",
        "tokens per second of plain decoding",
        "New tokens over the time of their steps.",
        "result.plain_tokens_per_s",
        "tokens/s",
    ),
    "bookkeeping": Formula(
        "rounds",
        "bookkeeping",
        "Time neither in the draft nor in the target, over the time of the rounds.",
        f'result.rounds["other_ms"].sum() / {SPENT}.sum()',
        "",
    ),
}
FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    "trace": TRACE,
    "cache": CACHE,
    "point": CACHE,
    "speculate": SPECULATE,
}
"""By kind of run and name."""
