"""What a run under policies needs to know before it starts."""

import numpy as np

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import MOST_STEPS, CacheRequest
from tokenarium.backend.models.loaded import LoadedModel


def given_tokens(loaded: LoadedModel, request: CacheRequest) -> list[int]:
    """Return the tokens of the continuation; none where the model is to generate."""
    if not request.continuation:
        return []
    encoded = loaded.tokenizer(
        request.continuation,
        add_special_tokens=False,
        split_special_tokens=True,
        truncation=False,
        verbose=False,
    )
    ids = [int(key) for key in encoded["input_ids"]]
    if len(ids) > MOST_STEPS:
        raise ValueError(
            f"continuation is {len(ids)} tokens, above the {MOST_STEPS} that are read step by "
            "step: shorten it, or move its beginning to the prompt"
        )
    return ids


def past_context(loaded: LoadedModel, prompt: int, steps: int, given: bool) -> tuple[str, ...]:
    """Refuse more tokens than there are positions; say what a model was not trained for."""
    over = prompt + steps - 1 - loaded.context
    if over <= 0:
        return ()
    if loaded.reads_past_context:
        return (
            f"tokens from {loaded.context} on are beyond the context this model was trained for",
        )
    name = "continuation" if given else "max_new_tokens"
    raise ValueError(
        f"{name}={steps} after a prompt of {prompt} tokens is above the {loaded.context} learned "
        f"positions of {loaded.name}: shorten either by {over}, or choose a model with rotary "
        "positions"
    )


def look(loaded: LoadedModel, ids: list[int]) -> tuple[tuple[int, ...], int]:
    """Return which layers keep to a window of their own, and the KV heads of a layer."""
    sequence = CachedSequence(loaded, Full(), 1)
    sequence.read(ids)
    return sequence.windowed_layers, max(cache.entries.groups for cache in sequence.layers)


def notes_on(policy: Policy, alone: tuple[int, ...], layers: int) -> list[str]:
    notes = []
    if policy.differs != "no":
        notes.append(f"variant: {policy.differs}")
    if policy.label != "nothing" and alone:
        many = (
            "every layer sees" if len(alone) == layers else f"{len(alone)} of {layers} layers see"
        )
        notes.append(
            f"{many} a window of its latest tokens only, by the model's design: the policy leaves "
            "them alone, and what leaves the window is freed without loss"
        )
    return notes


def compare_texts(request: CacheRequest, ledger: Ledger) -> None:
    """Without the oracle, find where texts part from that of the full cache, if there is one."""
    slugs = [spec.slug for spec in request.policies]
    if request.oracle or request.continuation or "full" not in slugs:
        return
    full = ledger.token_ids[slugs.index("full")]
    for number, ids in enumerate(ledger.token_ids):
        other = np.flatnonzero(ids != full)
        ledger.first_divergence[number] = other[0] if len(other) else -1
