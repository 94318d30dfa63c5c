"""How numbers of the pages are made of a result's fields: each formula is one line of Python.

A formula is written here and nowhere else: the page shows it, evaluates it, and hands it out to be
run again. Of a browser it takes whole numbers only, for what stands in its braces.
"""

from collections.abc import Mapping

from tokenarium.ui.why.attribute import ABLATE, ATTRIBUTE, REDUCE
from tokenarium.ui.why.colours import COLOURS
from tokenarium.ui.why.decode import DECODE
from tokenarium.ui.why.editing import EDIT
from tokenarium.ui.why.formula import Formula
from tokenarium.ui.why.held import CLUSTERS, HELD
from tokenarium.ui.why.lanes import LANES
from tokenarium.ui.why.speculate import SPECULATE
from tokenarium.ui.why.tokenization import LETTERS, NEW_TOKENS, TOKENIZE
from tokenarium.ui.why.trees import TREES

_HERE = {
    "sink": ("sink_score", "sink score"),
    "previous": ("previous_mass", "previous-token attention"),
    "self": ("self_mass", "attention to itself"),
    "distance": ("attention_distance", "distance over uniform"),
    "entropy": ("attention_entropy_nats", "entropy over uniform"),
}
"""By measure, the field of a trace that it is made of, and its title."""
TRACE = {
    **{
        f"here_{measure}": Formula(
            field,
            f"{title} of the head in this text",
            "As the Heads view computes it, to be compared with what the head usually does.",
            f'trace_measures(result)["{measure}"][{{0}}, {{1}}]',
            "",
        )
        for measure, (field, title) in _HERE.items()
    },
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
    "span_surprisal": Formula(
        "surprisal_nats",
        "surprisal of a piece of text",
        "The sum over its tokens, so that it can be compared between tokenizers.",
        "result.surprisal_nats[{0}:{1}].sum(dtype=float)",
    ),
    "span_received": Formula(
        "received_mass",
        "attention that a piece of text receives",
        "The sum over its tokens of the mean over all heads of the model.",
        "result.received_by_token()[{0}:{1}].sum(dtype=float)",
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
    "prompt_tokens": Formula(
        "prompt_ids",
        "prompt tokens",
        "How many are read first.",
        "len(result.prompt_ids)",
        "tokens",
    ),
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
    "step_lost": Formula(
        "lost_mass",
        "attention lost at a step",
        "The mean over all layers.",
        "np.mean(result.lost_mass[{0}, {1}])",
    ),
    "recall": Formula(
        "lost_mass",
        "attention recall",
        "The full model's attention to what was kept and read: 1 less what was lost, the mean over "
        "the policy's steps and all layers.",
        "1 - np.nanmean(result.lost_mass[{0}, :{1}])",
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
SWEEP = {
    "fewest_layers": Formula(
        "acts_in",
        "fewest layers in which a point acts",
        "Of the points that were not refused.",
        "min(acts for acts, why in zip(result.acts_in, result.refused) if not why)",
        "layers",
    ),
    "points_done": Formula(
        "policy",
        "points measured",
        "Policies, budgets and depths that are done.",
        "len(result.policy)",
        "points",
    ),
}
LENS = {
    "lens_rows": Formula(
        "rows", "decoded tokens", "After how many the layers are read.", "len(result.rows)", ""
    )
}
INTERVENTION = {
    "sinks_before": Formula(
        "sink_score",
        "heads with a sink, before",
        "Heads that give the first token over 30 % of their attention.",
        "(result.sink_score > 0.3).sum()",
        "heads",
    ),
    "sinks_after": Formula(
        "changed_sink_score",
        "heads with a sink, after",
        "Heads that give the first token over 30 % of their attention, with the change.",
        "(result.changed_sink_score > 0.3).sum()",
        "heads",
    ),
    "touched_heads": Formula(
        "touched", "changed heads", "How many were changed.", "result.touched.sum()", "heads"
    ),
    "all_heads": Formula(
        "touched", "heads", "Query heads of all layers.", "result.touched.size", "heads"
    ),
    "doubt_before": Formula(
        "entropy_nats",
        "mean entropy, before",
        "The mean over the tokens that both runs have.",
        "result.entropy_nats[result.aligned[result.aligned >= 0]].mean()",
    ),
    "doubt_after": Formula(
        "changed_entropy_nats",
        "mean entropy, after",
        "The mean over the tokens that both runs have.",
        "result.changed_entropy_nats[result.aligned >= 0].mean()",
    ),
}
JUDGE = {
    "judged_unit": Formula(
        "token_score",
        "number of a piece of text",
        "Of a token, or the mean over the tokens of a word or sentence.",
        "np.nanmean(result.token_score[{0}, {1}:{2}], dtype=float)",
    ),
    "detail": Formula(
        "details",
        "a further number of a measure",
        "By its place among those that the measure gives; its definition stands beside it.",
        "list(result.details[result.measures[{0}]].values())[{1}]",
        "",
    ),
    "judged_tokens": Formula(
        "judged", "judged tokens", "How many tokens count.", "result.judged.sum()", "tokens"
    ),
}
AUDIT = {
    "audited_tokens": Formula(
        "token_ids", "audited tokens", "How many there are.", "len(result.token_ids)", "tokens"
    )
}
IMPORT = {
    "import_definition": Formula(
        "definitions",
        "one measure of acceptance",
        "As its row defines it, of the imported figures.",
        'result.definitions[{0}]["value"]',
        "",
    ),
    **{
        f"import_sum_{name.partition('_')[0]}": Formula(
            "requests", title, "The sum over the requests.", f'result.requests["{name}"].sum()', ""
        )
        for name, title in {
            "rounds": "rounds",
            "accepted": "accepted tokens",
            "drafted": "drafted tokens",
            "new_tokens": "new tokens",
        }.items()
    },
}
FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    "trace": {**TRACE, **COLOURS},
    "cache": {**CACHE, **HELD, **CLUSTERS},
    "point": {**CACHE, **HELD, **CLUSTERS},
    "speculate": {**SPECULATE, **TREES},
    "decode": {**DECODE, **LANES},
    "logprobs": {**DECODE, **LANES},
    "attribute": ATTRIBUTE,
    "ablate": ABLATE,
    "reduce": REDUCE,
    "sweep": SWEEP,
    "judge": JUDGE,
    "lens": LENS,
    "intervention": INTERVENTION,
    "edit": EDIT,
    "audit": AUDIT,
    "import": IMPORT,
    "tokenize": TOKENIZE,
    "characters": LETTERS,
    "new_tokens": NEW_TOKENS,
}
"""By kind of run and name."""
