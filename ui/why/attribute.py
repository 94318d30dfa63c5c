"""How numbers of an attribution, or of parts that are cut out, are made of values and check."""

from tokenarium.ui.why.formula import Formula


def _mean(of: str, places: str) -> Formula:
    """Return the mean over the texts that were drawn anew."""
    return Formula(
        f"{of}_nats",
        "mean fall",
        "The mean over the texts that were drawn anew.",
        f"result.{of}_nats.mean(0)[{places}]",
    )


_CHECKED = {
    "target_chance": Formula(
        "value_nats",
        "probability of the target",
        "The log probability, as the probability that it is the logarithm of.",
        "np.exp(result.value_nats)",
        "",
    ),
    "target_times": Formula(
        "value_nats",
        "how many times likelier",
        "The larger of the two probabilities over the smaller one.",
        "np.exp(np.abs(result.value_nats))",
        "",
    ),
    "check_sets": Formula(
        "check_random_nats",
        "sets of units",
        "How many there are in all, or were drawn at random.",
        "len(result.check_random_nats)",
        "",
    ),
    "chance_drop": Formula(
        "check_random_nats",
        "mean drop by chance",
        "The mean over the sets of units that were deleted at random.",
        "result.check_random_nats.mean()",
    ),
}
ATTRIBUTE = {
    **_CHECKED,
    "curve_mean": Formula(
        "curve_nats",
        "mean of the curve",
        "Comprehensiveness: the mean fall over the points of its curve.",
        "result.curve_nats.mean()",
    ),
}
ABLATE = {
    **_CHECKED,
    "mean_head_nats": _mean("head", "{0}, {1}"),
    "mean_mlp_nats": _mean("mlp", "{0}"),
    "mean_layer_nats": _mean("layer", "{0}"),
}
REDUCE = {
    "held_out": Formula(
        "token_ids", "tokens held out", "Nothing was calibrated on them.", "result.length", "tokens"
    )
}
