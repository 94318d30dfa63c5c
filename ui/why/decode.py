"""How numbers of a decoding run are made of its lanes and steps."""

from tokenarium.ui.why.formula import Formula


def _step(name: str, title: str, meaning: str, unit: str = "", more: str = "") -> Formula:
    """Return a number of one step: the first index is the lane's, the second the step's."""
    expression = f'result.lanes[{{0}}].tokens["{name}"][{{1}}]{more}'
    return Formula("token_columns", title, meaning, expression, unit)


DECODE = {
    "step_entropy": _step(
        "entropy_nats",
        "entropy before the token",
        "Of the model's distribution at temperature 1, before anything acts on it.",
        "nats",
    ),
    "step_varentropy": _step(
        "varentropy_nats2",
        "varentropy before the token",
        "Variance of the surprisal under the same distribution.",
        "nats²",
    ),
    "step_probability": _step(
        "probability", "probability of the token", "The model's own, at temperature 1."
    ),
    "step_final": _step(
        "final_probability",
        "probability in the draw",
        "In the distribution that the token was drawn from, after every step of the strategy.",
    ),
    "step_surprisal": Formula(
        "token_columns",
        "surprisal of the token",
        "-ln of the model's own probability of it, at temperature 1.",
        '-np.log(result.lanes[{0}].tokens["probability"][{1}])',
        "nats",
    ),
    "step_spent": Formula(
        "token_columns",
        "passes spent on the token",
        "Of this lane, since the token before; that over the prompt not counted.",
        'np.diff(result.lanes[{0}].tokens["passes"], prepend=0)[{1}]',
        "passes",
    ),
    "step_rank": _step("rank", "rank of the token", "1 is the likeliest.", more=" + 1"),
    "step_passes": _step(
        "passes", "passes so far", "Of this lane, that over the prompt not counted.", "passes"
    ),
    "alternative": Formula(
        "top_probs",
        "probability of an alternative",
        "After one stage of what the strategy does to the distribution.",
        "result.lanes[{0}].top_probs[{1}, {2}, {3}]",
    ),
    "left": Formula(
        "tokens_left",
        "tokens left",
        "Tokens that have a probability after a stage.",
        "result.lanes[{0}].tokens_left[{1}, {2}]",
        "tokens",
    ),
    "stage_entropy": Formula(
        "stage_entropy_nats",
        "entropy after a stage",
        "Of what the strategy has made of the distribution until then.",
        "result.lanes[{0}].stage_entropy_nats[{1}, {2}]",
    ),
    "mean_entropy": Formula(
        "token_columns",
        "mean entropy of a lane",
        "The mean over its steps.",
        "np.nanmean(result.lanes[{0}].entropy_nats)",
        "nats",
    ),
    "lane_passes": Formula(
        "lane_columns",
        "passes of a lane",
        "Forward passes after that over the prompt, which all lanes share.",
        "result.lanes[{0}].passes",
        "passes",
    ),
    "premise_value": Formula(
        "premise_columns",
        "what was measured of a premise",
        "The sentence beside it says of what, and along which steps of plain decoding.",
        "result.lanes[{0}].premise.value",
    ),
    "premise_bound": Formula(
        "premise_columns",
        "bound of a premise",
        "What the measured number is compared with.",
        "result.lanes[{0}].premise.bound",
    ),
    "lane_steps": Formula(
        "lane_columns",
        "tokens read by a lane",
        "In all its passes after that over the prompt.",
        "result.lanes[{0}].token_steps",
        "tokens",
    ),
    "trial_count": Formula(
        "trial_rows",
        "trials",
        "Texts of this lane by seeds from the run's on.",
        "result.lanes[{0}].reliability.trials",
        "trials",
    ),
    "trial_sure": Formula(
        "trial_rows",
        "mean confidence of a lane",
        "Confidence of a text: exp(mean ln p) of the tokens of its first line.",
        "result.lanes[{0}].reliability.mean_confidence",
    ),
    "trial_right": Formula(
        "trial_rows",
        "share of right trials",
        "Trials of this prompt alone.",
        "result.lanes[{0}].reliability.share_right",
    ),
    "trial_error": Formula(
        "trial_rows",
        "expected calibration error",
        "Trials in up to 5 bins by confidence; mean of |mean confidence - share right| over them.",
        "result.lanes[{0}].reliability.error",
    ),
    "trial_end": Formula(
        "trial_rows",
        "end of the 95 % interval of the error",
        "Trials drawn again, with replacement, 1,000 times; an absolute value is biased upwards.",
        "result.lanes[{0}].reliability.interval[{1}]",
    ),
    "trial_chance": Formula(
        "trial_rows",
        "error of a calibrated model",
        "97.5 % quantile of the error where every text is right with exactly its confidence.",
        "result.lanes[{0}].reliability.null.high",
    ),
}
