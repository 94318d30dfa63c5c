"""How numbers of a run that guesses ahead are made of its rounds, nodes and plain steps."""

from tokenarium.ui.why.formula import Formula

SPENT = '(result.rounds["draft_ms"] + result.rounds["verify_ms"] + result.rounds["other_ms"])'
WITH_DRAFTS = f'batch_means({SPENT}, result.rounds["new_tokens"])'
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
    "drafted_n": Formula(
        "rounds",
        "rounds",
        "How many the interval is over.",
        f"{WITH_DRAFTS}.n",
        "rounds",
    ),
    "plain_n": Formula(
        "plain_step_ms",
        "plain steps",
        "How many the interval is over.",
        "batch_means(result.plain_step_ms).n",
        "steps",
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
    "plain_steps": Formula(
        "plain_ids", "plain steps", "Tokens of plain decoding.", "len(result.plain_ids)", "steps"
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
    "round_accepted": Formula(
        "rounds",
        "accepted guesses of a round",
        "Those that are in the text: none after its end.",
        "result.accepted_in_text[{0}]",
        "tokens",
    ),
    "round_drafted": Formula(
        "rounds",
        "drafted tokens of a round",
        "All guesses.",
        'result.rounds["drafted"][{0}]',
        "tokens",
    ),
    "round_token_ms": Formula(
        "rounds",
        "time of a new token in a round",
        "Time of the round over the tokens that it added.",
        f'{SPENT}[{{0}}] / result.rounds["new_tokens"][{{0}}]',
        "ms",
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
