"""How numbers of an edited prompt are made of its caches."""

from tokenarium.ui.why.formula import Formula

EDIT = {
    "tokens_before": Formula(
        "prompt_ids", "tokens before the edit", "Of the prompt.", "len(result.prompt_ids)", "tokens"
    ),
    "tokens_after": Formula(
        "edited_ids", "tokens after the edit", "Of the prompt.", "len(result.edited_ids)", "tokens"
    ),
    "edit_kl": Formula(
        "kl_nats",
        "mean divergence from reading anew",
        "The mean over the tokens that the model writes.",
        "result.kl_nats[{0}].mean()",
    ),
    "edit_same": Formula(
        "top1_agree",
        "same first choice",
        "The mean over the tokens that the model writes.",
        "result.top1_agree[{0}].mean()",
    ),
}
