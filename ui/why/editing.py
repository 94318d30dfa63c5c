"""How numbers of an edited prompt are made of its caches."""

from tokenarium.ui.why.formula import Formula

EDIT = {
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
