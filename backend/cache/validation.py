"""What a run under policies needs to know before it starts."""

import numpy as np

from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.request import MOST_STEPS, CacheRequest
from tokenarium.backend.cost.fits import past_context, refuse_unless_free
from tokenarium.backend.cost.run_memory import bytes_of_cache_run
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


def beyond_context(loaded: LoadedModel, prompt: int, steps: int, given: bool) -> tuple[str, ...]:
    """Refuse more tokens than there are positions; say what a model was not trained for."""
    name = "continuation" if given else "max_new_tokens"
    tokens = prompt + steps - 1
    return past_context(
        loaded,
        tokens,
        f"{name}={steps} after a prompt of {prompt} tokens is above the {loaded.context} learned "
        f"positions of {loaded.name}: shorten either by {tokens - loaded.context}, or choose a "
        "model with rotary positions",
    )


def refuse_unless_fits(
    request: CacheRequest, loaded: LoadedModel, prompt: int, steps: int, budget: int
) -> None:
    """Refuse a run that would not fit into what is free now, beside the model."""
    remedies = ["shorten the prompt", "lower max_new_tokens"]
    if request.oracle:
        remedies.insert(0, "set oracle=False")
    if len(request.policies) > 1:
        remedies.append("choose fewer policies")
    config, dtype, device = loaded.model.config, loaded.dtype, loaded.device
    refuse_unless_free(
        device,
        bytes_of_cache_run(request, config, dtype, device, prompt, steps, budget),
        f"{prompt} tokens and {steps} steps with {loaded.name}",
        "the model",
        remedies,
    )


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
