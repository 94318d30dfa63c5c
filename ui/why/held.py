"""How numbers of what a head holds and reads under a policy are made of the run's records."""

from tokenarium.ui.why.formula import Formula

_READ = "result.runs[{0}].selected({3}, {1}, {2})"
_CLUSTERS = "result.runs[{0}].clusters({1}, {2})"
HELD = {
    "held": Formula(
        "evicted_at",
        "entries that a head holds",
        "At a step, of the chosen layer and KV head: those that are not dropped until then.",
        "sum(at < 0 or at > {3} for at in "
        "result.evicted_at[{0}, {1}, {2}, :len(result.prompt_ids) + {3}])",
        "tokens",
    ),
    "read_of": Formula(
        "selected_bits",
        "entries that a step reads",
        "Of those that the chosen layer and KV head holds.",
        f"({_READ} < len(result.prompt_ids) + {{3}}).sum()",
        "tokens",
    ),
    "seen": Formula(
        "prompt_ids",
        "tokens until a step",
        "The prompt and what was written until then.",
        "len(result.prompt_ids) + {0}",
        "tokens",
    ),
    "acting_layers": Formula(
        "layer_budgets",
        "layers in which the policy acts",
        "The others keep to a window of the model.",
        "(result.layer_budgets[{0}] >= 0).sum()",
        "layers",
    ),
    "all_layers": Formula(
        "layer_budgets", "layers", "Of the model.", "result.layer_budgets.shape[1]", "layers"
    ),
}
CLUSTERS = {
    "cluster_count": Formula(
        "clusters",
        "clusters of a head",
        "Of the keys of its prefix.",
        f"len(np.unique({_CLUSTERS}[{_CLUSTERS} > 0]))",
        "",
    ),
    "clusters_read": Formula(
        "clusters",
        "clusters that a step reads",
        "A cluster is read as a whole: its first token tells.",
        "sum(np.isin(np.flatnonzero(result.runs[{0}].clusters({1}, {2}) == each)[0], "
        f"{_READ}) for each in np.unique({_CLUSTERS}) if each > 0)",
        "",
    ),
    "cluster_tokens": Formula(
        "clusters",
        "tokens of a cluster",
        "How many of the prefix it holds.",
        f"({_CLUSTERS} == {{3}}).sum()",
        "tokens",
    ),
}
