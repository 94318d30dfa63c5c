"""Sweeps whose numbers are set by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tokenarium.backend.benchmark.sweep.result import SweepResult

NAMES = {"full": "Full cache", "recent": "Recent only", "h2o": "H2O", "token_select": "TokenSelect"}


def swept(
    values: Mapping[str, Mapping[float, Sequence[float]]], depths: int = 1, **other: Any
) -> SweepResult:
    """Return a sweep of which every exercise has the given divergence.

    Args:
        values: by policy and budget, of every exercise; of several depths one after the other.
        depths: into how many points the values of a budget are cut.
        other: fields that replace what is made here.
    """
    points = [
        (number, ratio, np.asarray(part, np.float32))
        for number, budgets in enumerate(values.values())
        for ratio, each in budgets.items()
        for part in np.split(np.asarray(each, np.float64), depths)
    ]
    count, kl = len(points), np.stack([part for _, _, part in points])
    ones = np.ones(count, np.float32)
    right = (kl < 0.5).astype(np.float32)
    stored = {
        "policies": tuple(values),
        "titles": tuple(NAMES[slug] for slug in values),
        "labels": tuple("nothing" if slug == "full" else "evict" for slug in values),
        "policy": np.asarray([number for number, _, _ in points], np.int32),
        "ratio": np.asarray([ratio for _, ratio, _ in points], np.float32),
        "depth": np.linspace(0, 1, count, dtype=np.float32),
        "refused": ("",) * count,
        "budget_tokens": np.asarray([200 * ratio for _, ratio, _ in points], np.float32),
        "trials": np.full(count, kl.shape[1], np.int32),
        "correct": right.sum(1).astype(np.int32),
        "accuracy": right.mean(1),
        "kl_nats": kl.mean(1),
        "top1_agree": 1 - kl.mean(1),
        "attention_recall": 1 - kl.mean(1),
        "token_accuracy": right.mean(1),
        "perplexity": np.exp(kl.mean(1)),
        "cache_bytes": 1000 * np.asarray([ratio for _, ratio, _ in points], np.float32),
        "step_ms_p50": 5 * ones,
        "trial_kl_nats": kl,
        "trial_top1_agree": 1 - kl,
        "trial_attention_recall": 1 - kl,
        "trial_token_accuracy": right,
        "trial_surprisal_nats": kl,
        "bytes_at": np.asarray([(8e3 * r, 32e3 * r) for _, r, _ in points]),
        "bytes_at_tokens": np.asarray([8192, 32768], np.int32),
        "layers": 4,
        "context": 2048,
    }
    blank = {n: ones for n in SweepResult.quantities() if n not in stored}
    return SweepResult.from_stored({}, blank | stored | other)
