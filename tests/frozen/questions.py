"""What is asked, as plain data: small, deterministic, and every kind of run."""

from typing import Any

STORY = (
    "The old lighthouse keeper climbed the stairs every evening, and every evening he counted "
    "them. There were one hundred and twelve steps, and he knew the sound of each. At the top he "
    "lit the lamp and listened to the sea."
)
TWICE = "Seven grey geese flew over the frozen lake, and nobody knew why. " * 2
SIGNS = "Zoë's naïve café: 3 < 5 & <b>x</b> ${y} {{z}} 🦊 «ßø»\n\tend"
ONCE = "Once upon a time there was a little girl who"
TARGET, DRAFT = {"model": "bundled/target"}, {"model": "bundled/draft"}

_TRACES: dict[str, tuple[str, dict[str, Any]]] = {
    "trace_target": ("trace", TARGET | {"text": STORY, "logit_lens": True}),
    "trace_signs": (
        "trace",
        DRAFT | {"text": SIGNS, "top_k": 3, "tiles": 7, "add_bos": False, "logit_lens": True},
    ),
    "trace_one_token": ("trace", DRAFT | {"text": "a", "add_bos": False, "logit_lens": True}),
    "trace_bfloat16": (
        "trace",
        DRAFT | {"text": STORY, "dtype": "bfloat16", "logit_lens": False, "forgetting": (0.9, 0.5)},
    ),
    "trace_visitor": (
        "trace",
        DRAFT | {"text": "A visitor's own text.", "tiles": 8, "logit_lens": True},
    ),
}

_HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "region": (
        "region",
        TARGET
        | {"text": STORY, "layer": 3, "head": 4, "tiles": 8}
        | {"query_start": 5, "query_stop": 36, "key_start": 2, "key_stop": 29},
    ),
    "region_cut": (
        "region",
        DRAFT
        | {"text": STORY * 24, "overflow": "keep_end", "layer": 1, "head": 0, "tiles": 8}
        | {"query_start": 900, "query_stop": 1024, "key_start": 0, "key_stop": 1024},
    ),
    "probe": ("probe", DRAFT | {"period": 16, "repeats": 3, "seed": 5}),
    "heartbeat": ("heartbeat", TARGET | {"text": STORY, "layer": 5, "head": 1, "bins": 32}),
    "heartbeat_exceed": (
        "heartbeat",
        DRAFT
        | {"text": STORY * 24, "overflow": "exceed", "layer": 2, "head": 3, "bins": 16}
        | {"threshold": 1e-4, "measured_in": "weight"},
    ),
    "follow": ("follow", TARGET | {"text": STORY, "layer": 2, "head": 5, "token": 7}),
    "follow_float16": (
        "follow",
        DRAFT | {"text": STORY, "dtype": "float16", "layer": 0, "head": 2, "token": 0},
    ),
}


def _changed(method: str, **parameters: Any) -> tuple[str, dict[str, Any]]:
    asked = {"text": STORY, "intervention": method, "parameters": parameters}
    return "intervention", DRAFT | asked


_INTERVENTIONS = {
    "intervention_act": _changed("act", threshold=0.05, least_queries=4),
    "intervention_drop_first": _changed("drop_first"),
    "intervention_lm_infinite": _changed("lm_infinite", first=4, last=16),
    "intervention_move_to_bos": _changed("move_to_bos", layer=1, head=2, share=0.5),
    "intervention_softplus": _changed("softplus", power=3.0),
    "intervention_swap_first": _changed("swap_first", text="Once"),
    "intervention_zero_head": _changed("zero_head", layer=2, head=3),
}


def _cached(*policies: Any, model: str = "bundled/draft", **values: Any) -> tuple[str, Any]:
    asked = {"model": model, "text": STORY, "policies": policies, "max_new_tokens": 8}
    return "cache", asked | values


def _spec(slug: str, **parameters: Any) -> dict[str, Any]:
    return {"slug": slug, "parameters": parameters}


_CACHES = {
    "cache_accumulated": _cached(
        *("full", "recent", "h2o", "a2sf", "scissorhands", "lazy_eviction", "keyformer", "tova"),
        model="bundled/target",
        budget=24,
    ),
    "cache_prompt": _cached(
        *(_spec("snapkv", window=8), "pyramidkv", "adakv", "expected_attention", "keydiff"),
        *("knorm", "kvcrush", "random"),
        budget=0.5,
        budget_unit="ratio",
        seed=11,
    ),
    "cache_positions": _cached(
        *(_spec("streaming_llm", sink=2), "sirllm", "lm_infinite", "prompt_distill"),
        *("tidal_decode", "token_select"),
        model="bundled/target",
        budget=0.125,
        budget_unit="megabytes",
    ),
    "cache_given": _cached(
        *("h2o", "streaming_llm"),
        budget=20,
        continuation=" Ships passed far away, without a name.",
        noise=False,
    ),
    "cache_bfloat16": _cached(
        "full", "tova", "token_select", budget=24, dtype="bfloat16", oracle=False, noise=False
    ),
}

_SWEEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "sweep_copying": (
        "sweep",
        DRAFT
        | {"task": "copying", "policies": ("recent", "h2o"), "budgets": (0.5, 0.25)}
        | {"depths": (0.1, 0.9), "length": 64, "trials": 2},
    ),
    "sweep_needles": (
        "sweep",
        DRAFT
        | {"task": "needles", "parameters": {"keys": 2, "digits": 2}, "policies": ("tova",)}
        | {"budgets": (0.5,), "depths": (0.5,), "length": 96, "trials": 2, "query_aware": False},
    ),
    "sweep_perplexity": (
        "sweep",
        DRAFT
        | {"task": "perplexity", "parameters": {"predicted": 12}, "policies": ("streaming_llm",)}
        | {"budgets": (0.25,), "length": 48, "trials": 2},
    ),
    "sweep_prompts": (
        "sweep",
        DRAFT
        | {"prompts": (STORY, TWICE), "policies": ("knorm",), "budgets": (0.5,)}
        | {"max_new_tokens": 6},
    ),
    "point_passkey": (
        "point",
        DRAFT
        | {"task": "passkey", "policies": ("h2o",), "budgets": (0.4,), "depths": (0.5,)}
        | {"length": 96, "trials": 1, "seed": 3},
    ),
    "point_prompt": (
        "point",
        TARGET
        | {"prompts": (STORY,), "policies": ("tova",), "budgets": (0.3,), "depths": (0.0,)}
        | {"max_new_tokens": 6, "trials": 1},
    ),
}


def _drafted(drafter: Any, rule: str, temperature: float, **values: Any) -> tuple[str, Any]:
    asked = {"drafter": drafter, "rule": rule, "temperature": temperature, "max_new_tokens": 16}
    return "speculate", TARGET | {"text": ONCE} | asked | values


_SPECULATIONS = {
    "speculate_chain": _drafted("draft_chain", "greedy", 0.0),
    "speculate_chain_sampled": _drafted(
        "draft_chain", "speculative_sampling", 0.8, seed=1, top_k=50, top_p=0.95, max_new_tokens=24
    ),
    "speculate_iid_tree": _drafted("iid_tree", "multi_round", 0.7, seed=2, tree_budget=12),
    "speculate_iid_tree_k_seq": _drafted("iid_tree", "k_seq", 1.0, seed=3, min_p=0.02),
    "speculate_gumbel_tree": _drafted("gumbel_tree", "recursive", 0.7, seed=4),
    "speculate_dyspec": _drafted("dyspec", "recursive", 1.2, seed=5, repetition_penalty=1.2),
    "speculate_topk_tree": _drafted("topk_tree", "sample_and_match", 0.7, seed=6, draft_len=3),
    "speculate_prompt_lookup": _drafted("prompt_lookup", "greedy", 0.0, text=TWICE),
    "speculate_recycling": _drafted(
        "token_recycling", "typical", 0.3, text=TWICE, seed=7, max_new_tokens=32
    ),
    "speculate_trie": _drafted("trie_lookahead", "top_k_set", 0.9, text=TWICE, seed=8, top_k=20),
    "speculate_early_exit": _drafted(
        "early_exit", "greedy", 0.0, dtype="bfloat16", plain=False, stop=(".",)
    ),
    "speculate_transformers": _drafted("draft_chain", "greedy", 0.0, engine="transformers"),
    "speculate_transformers_sampled": _drafted(
        "prompt_lookup", "sample_and_match", 0.8, text=TWICE, engine="transformers", seed=9
    ),
}

QUESTIONS = _TRACES | _HEADS | _INTERVENTIONS | _CACHES | _SWEEPS | _SPECULATIONS
"""Kind and values of each request, by name."""
PINNED = ("trace_one_token", "probe")
OWNED = ("trace_visitor",)
"""Asked by ``VISITOR`` in hosted mode; all others are shared."""
VISITOR = "frozen-visitor"
EXAMPLES = ("example-guessed-ahead", "example-what-is-kept")
"""Shipped runs that stay in the store; the others are deleted, because they are large."""
