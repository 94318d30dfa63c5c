"""How numbers of an attribution are made of its values and its check."""

from tokenarium.ui.why.formula import Formula

ATTRIBUTE = {
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
    "chance_drop": Formula(
        "check_random_nats",
        "mean drop by chance",
        "The mean over the sets of units that were deleted at random.",
        "result.check_random_nats.mean()",
    ),
}
