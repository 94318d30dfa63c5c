"""Continue a prompt under every policy, step by step, the full model reading along."""

from collections.abc import Callable

import torch

from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.full_model import FullModelReference
from tokenarium.backend.cache.generation import CacheProgress, Generation, PreparedRun
from tokenarium.backend.cache.ledger import Ledger
from tokenarium.backend.cache.request import CacheRequest
from tokenarium.backend.cache.result import CacheResult
from tokenarium.backend.cache.validation import (
    beyond_context,
    compare_texts,
    given_tokens,
    notes_on,
    refuse_unless_fits,
)
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import tokenise
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
    given = given_tokens(loaded, request)
    steps = len(given) or request.max_new_tokens
    notes = beyond_context(loaded, len(tokens.ids), steps, bool(given))
    layout = capabilities.layers(loaded)
    alone, heads = layout.windowed, layout.kv_heads
    budget = tokens_per_head(
        request.budget, request.budget_unit, len(tokens.ids), CacheSizes.of(loaded, len(alone))
    )
    policies = [spec.policy for spec in request.policies]
    for policy in policies:
        fitted = policy.fitted(budget, len(loaded.layers), loaded.context)
        fitted.refuse_below_smallest(budget)
    refuse_unless_fits(request, loaded, len(tokens.ids), steps, budget)
    ledger = Ledger(len(policies), steps, len(loaded.layers), heads, len(tokens.ids))
    for number, policy in enumerate(policies):
        ledger.notes[number] += notes_on(policy, alone, len(loaded.layers))
    prepared = PreparedRun(request, loaded, tokens, notes, budget, ledger)
    progress = CacheProgress(prepared, emit, cancel)
    oracle = None
    if request.oracle:
        progress.report_step("reading the prompt with the full model", 0)
        oracle = FullModelReference(loaded, tokens.ids, cancel.check, len(tokens.ids) + steps)
    for number, policy in enumerate(policies):
        Generation(number, policy, progress, oracle, given).run()
    compare_texts(request, ledger)
    return progress.result(finished=True)
