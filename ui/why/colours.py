"""How the numbers that colour the strip are made of a trace, for a token, a word or a sentence."""

from tokenarium.ui.why.formula import Formula

BEFORE = "colour_"
"""Before the name of a colouring."""
_RECEIVED = "result.received_by_token()"


def _colour(field: str, title: str, values: str, *, total: bool = False) -> Formula:
    """Return the sum, or the mean, over tokens from {0} to {1}."""
    how = "sum" if total else "mean"
    return Formula(
        field,
        title,
        f"Of a token, or the {how} over the tokens of a word or sentence.",
        f"np.nan{how}(({values})[{{0}}:{{1}}], dtype=float)",
        "",
    )


COLOURS = {
    f"{BEFORE}{name}": formula
    for name, formula in {
        "share": _colour(
            "received_mass",
            "share of all attention",
            f"100 * {_RECEIVED} * np.arange(result.length, 0, -1) / result.length",
            total=True,
        ),
        "neighbours": _colour(
            "received_mass",
            "attention beside its neighbours",
            f"over_neighbours({_RECEIVED})",
        ),
        "attention": _colour("received_mass", "attention of later tokens", _RECEIVED),
        "head": _colour(
            "received_mass", "attention in this head", "result.received_mass[{2}, {3}]"
        ),
        "noise": _colour(
            "received_mass",
            "attention beyond chance",
            f"{_RECEIVED} / np.average(received_noise_by_layer(result), axis=0, "
            "weights=np.isfinite(result.sink_score).sum(1))",
        ),
        "surprisal": _colour("surprisal_nats", "surprisal", "result.surprisal_nats", total=True),
        "entropy": _colour("entropy_nats", "entropy", "result.entropy_nats"),
        "varentropy": _colour("varentropy_nats2", "varentropy", "result.varentropy_nats2"),
        "rank": _colour("rank", "rank", "np.where(result.rank < 0, np.nan, result.rank)"),
        "residual": _colour("residual_norm", "residual norm", "result.residual_norm[-1]"),
        "peak": _colour(
            "residual_top_values",
            "largest activation",
            "np.fmax.reduce(np.abs(result.residual_top_values[:, :, 0]))",
        ),
        "value": _colour(
            "value_norm", "value norm", "result.value_norm[{2}, result.kv_head({2}, {3})]"
        ),
        "key": _colour("key_norm", "key norm", "result.key_norm[{2}, result.kv_head({2}, {3})]"),
    }.items()
}
"""By the name of a colouring of the strip."""
