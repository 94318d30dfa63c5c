"""How numbers of a lane as a whole are made: its cost, its trials, its branches and its journal."""

from tokenarium.ui.why.formula import Formula

_LANE = "result.lanes[{0}]"


def _cost(expression: str, title: str, meaning: str, unit: str = "") -> Formula:
    return Formula("lane_columns", title, meaning, expression, unit)


def _trials(expression: str, title: str, meaning: str) -> Formula:
    return Formula("trial_columns", title, meaning, expression, "")


LANES = {
    "lane_tokens": Formula(
        "token_columns", "tokens", "That a lane wrote.", f"len({_LANE}.token_ids)", "tokens"
    ),
    "lane_seconds": _cost(
        f"{_LANE}.seconds",
        "time of a lane",
        "After reading the prompt, which all lanes share.",
        "s",
    ),
    "lane_guessed": Formula(
        "token_columns",
        "tokens guessed ahead",
        "Tokens of the lane that a drafter had guessed.",
        f"{_LANE}.guessed.sum()",
        "tokens",
    ),
    "lane_small_passes": _cost(
        f"{_LANE}.small_passes", "passes of the small model", "Or of the drafter.", "passes"
    ),
    "premise_passes": Formula(
        "premise_columns",
        "passes for a premise",
        "What measuring it took, beside the lane's own.",
        f"{_LANE}.premise_passes",
        "passes",
    ),
    "unsure_step": Formula(
        "token_columns",
        "step of the highest entropy",
        "The first such one, counted from 1.",
        f"np.nanargmax({_LANE}.entropy_nats) + 1",
        "",
    ),
    "parting_step": Formula(
        "token_columns",
        "first step that differs",
        "Where a lane writes another token than plain decoding, counted from 1.",
        "[one == other for one, other in zip(result.lanes[0].token_ids, "
        f"{_LANE}.token_ids)].index(False) + 1",
        "",
    ),
    "threshold": Formula(
        "threshold_nats",
        "line of a strategy",
        "Entropy at which it acts.",
        f"list({_LANE}.thresholds.values())[{{1}}]",
    ),
    "trials": _trials(f"{_LANE}.trials", "trials", "How often it was written, by other seeds too."),
    "trials_right": _trials(f"{_LANE}.trials_right", "right trials", "Those that hold the answer."),
    "right_share": _trials(
        f"{_LANE}.trials_right / {_LANE}.trials", "share of right trials", "Of all its trials."
    ),
    "right_end": Formula(
        "trial_columns",
        "end of the 95 % interval of the share",
        "Of Wilson (1927).",
        f"100 * {_LANE}.right_interval[{{1}}]",
        "%",
    ),
    "mean_log_prob": Formula(
        "token_columns",
        "mean ln p of a text",
        "By the model at temperature 1, of every token.",
        f'np.log(np.maximum({_LANE}.tokens["probability"].astype(float), 1e-30)).mean()',
        "",
    ),
    **{
        f"branch_{name}": Formula(
            "branch_columns",
            title,
            "Of a text that the strategy tried.",
            f'{_LANE}.branches["{name}"][{{1}}]',
            "",
        )
        for name, title in {
            "log_prob": "ln p of a branch",
            "score": "score of a branch",
            "kept": "kept tokens of a branch",
        }.items()
    },
    **{
        f"journal_{name}": Formula(
            "journal",
            title,
            "As the strategy wrote it down at this step.",
            f'{_LANE}.journal["{name}"][{{1}}]',
            "",
        )
        for name, title in {
            "probability": "probability in the journal",
            "score": "score in the journal",
        }.items()
    },
}
