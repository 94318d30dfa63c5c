"""Continue a prompt under every policy, step by step, the full model reading along."""

from collections.abc import Callable

import numpy as np
import torch

from tokenarium.backend.cache.acting import where_it_acts
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.full_model import FullModelReference
from tokenarium.backend.cache.generation import CacheProgress, Generation, PreparedRun
from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.prompt_parts import refuse_parts
from tokenarium.backend.cache.request import MOST_STEPS, CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cost.fits import past_context, refuse_unless_free
from tokenarium.backend.cost.run_memory import CacheRunPlan, bytes_of_cache_run
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import refuse_crossing, rotary_crossing
from tokenarium.backend.models.text import tokenise
from tokenarium.backend.models.uneven_layers import cached_apart, layers_apart
from tokenarium.backend.runs.events import CancelToken, Event


@torch.inference_mode()
def follow_policies(
    request: CacheRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> CacheResult:
    """Read a prompt and continue it greedily under each policy.

    Args:
        limit: most tokens of the prompt; what happens to a longer one is the request's choice.
        emit: receives progress and, a few times a second, the unfinished result.
        cancel: checked in every layer.
    Raises: ValueError where prompt, budget or a policy does not fit the model; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    given = _given_tokens(loaded, request)
    steps = len(given) or request.max_new_tokens
    notes = _beyond_context(loaded, len(tokens.ids), steps, bool(given))
    notes += _crossing(request, loaded, len(tokens.ids), steps)
    notes += (*layers_apart(loaded), *cached_apart(loaded))
    layout = capabilities.layers(loaded)
    alone, heads = layout.windowed, layout.kv_heads
    budget = tokens_per_head(
        request.budget, request.budget_unit, len(tokens.ids), CacheSizes.of(loaded, len(alone))
    )
    policies = [spec.policy for spec in request.policies]
    for policy in policies:
        fitted = policy.fitted(budget, layout.attending, loaded.context)
        fitted.refuse_below_smallest(budget)
        refuse_parts(fitted, len(tokens.ids), request.prompt_chunk)
    _refuse_unless_fits(request, loaded, len(tokens.ids), steps, budget)
    ledger = Ledger(len(policies), steps, len(loaded.layers), heads, len(tokens.ids))
    for number, policy in enumerate(policies):
        ledger.notes[number] += _notes_on(policy, budget, loaded, len(tokens.ids))
    prepared = PreparedRun(request, loaded, tokens, notes, budget, ledger)
    progress = CacheProgress(prepared, emit, cancel)
    oracle = None
    if request.oracle:
        progress.report_step("reading the prompt with the full model", 0)
        places = len(tokens.ids) + steps
        oracle = FullModelReference(
            loaded, tokens.ids, cancel.check, places, progress.shared_passes
        )
    for number, policy in enumerate(policies):
        Generation(number, policy, progress, oracle, given).run()
    _compare_texts(request, ledger)
    return progress.result(finished=True)


def _given_tokens(loaded: LoadedModel, request: CacheRequest) -> list[int]:
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


def _beyond_context(loaded: LoadedModel, prompt: int, steps: int, given: bool) -> tuple[str, ...]:
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


def _crossing(
    request: CacheRequest, loaded: LoadedModel, prompt: int, steps: int
) -> tuple[str, ...]:
    """Say that rotary positions change on the way; refuse it where a policy moves keys."""
    tokens = prompt + steps - 1
    for spec in request.policies:
        if spec.policy.positions != "original":
            refuse_crossing(
                loaded,
                prompt,
                tokens,
                f"leave out {spec.policy.title}, which moves keys to other positions, shorten the "
                "prompt or lower max_new_tokens",
            )
    words = rotary_crossing(loaded, prompt, tokens)
    return () if words is None else (f"{words}: reading the same text at once gives other numbers",)


def _refuse_unless_fits(
    request: CacheRequest, loaded: LoadedModel, prompt: int, steps: int, budget: int
) -> None:
    """Refuse a run that would not fit into what is free now, beside the model."""
    remedies = ["shorten the prompt", "lower max_new_tokens"]
    if request.oracle:
        remedies.insert(0, "switch off the full cache alongside (oracle=False)")
    if len(request.policies) > 1:
        remedies.append("choose fewer policies")
    config, dtype, device = loaded.model.config, loaded.dtype, loaded.device
    plan = CacheRunPlan(request, config, dtype, device, prompt, steps, budget)
    refuse_unless_free(
        device,
        bytes_of_cache_run(plan),
        f"{prompt} tokens and {steps} steps with {loaded.name}",
        "the model",
        remedies,
    )


def _notes_on(policy: Policy, budget: int, loaded: LoadedModel, prompt: int) -> list[str]:
    """Return what a policy does otherwise than one might expect: a variant, layers left alone."""
    notes = []
    if policy.differs != "no":
        notes.append(f"variant: {policy.differs}")
    if policy.label == "merge":
        notes.append("attention to a token that became a part of another entry counts as lost")
    windows = capabilities.layers(loaded).windows
    fitted = policy.fitted(budget, len(windows), loaded.context)
    if words := where_it_acts(fitted, budget, windows, prompt):
        notes.append(words)
    return notes


def _compare_texts(request: CacheRequest, ledger: Ledger) -> None:
    """Without the oracle, find where texts part from that of the full cache, if there is one."""
    slugs = [spec.slug for spec in request.policies]
    if request.oracle or request.continuation or "full" not in slugs:
        return
    full = ledger.token_ids[slugs.index("full")]
    for number, ids in enumerate(ledger.token_ids):
        other = np.flatnonzero(ids != full)
        ledger.first_divergence[number] = other[0] if len(other) else -1
