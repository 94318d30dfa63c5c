"""How lanes after the first read: under a KV-cache policy, or with interventions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tokenarium.backend.cache.acting import where_it_acts
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.decoding.changed_readers import CachedReader, ChangedReader
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.stepper import Stepper
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.uneven_layers import refuse_uneven
from tokenarium.backend.observe.layer import Change


@dataclass(frozen=True)
class ChangedRun:
    """What makes a fresh stepper, over the prompt, for each lane."""

    stepper: Callable[[], Stepper]
    words: str
    """What stands after the title of such a lane."""
    notes: tuple[str, ...]


def changed_run(
    request: DecodeRequest, loaded: LoadedModel, ids: Sequence[int], check: Callable[[], None]
) -> ChangedRun | None:
    """Return how lanes after the first read; None where they read as the first does.

    Args:
        request: with a policy or interventions, or neither.
        loaded: the model.
        ids: of the prompt.
        check: called in every layer; raises to stop.

    Raises: ValueError where policy, budget or an intervention does not fit model or prompt.
    """
    if request.policy is not None:
        return _under_policy(request, request.policy.policy, loaded, ids, check)
    if request.interventions:
        return _intervened(request, loaded, ids, check)
    return None


def _under_policy(
    request: DecodeRequest,
    policy: Policy,
    loaded: LoadedModel,
    ids: Sequence[int],
    check: Callable[[], None],
) -> ChangedRun:
    layout = capabilities.layers(loaded)
    sizes = CacheSizes.of(loaded, len(layout.windowed))
    budget = tokens_per_head(request.budget, request.budget_unit, len(ids), sizes)
    fitted = policy.fitted(budget, layout.attending, loaded.context)
    fitted.refuse_below_smallest(budget)

    def made() -> Stepper:
        sequence = CachedSequence(loaded, policy, budget, request.seed, check)
        stepper = Stepper(CachedReader(sequence), loaded.unembed)
        stepper.begin(ids)
        return stepper

    where = where_it_acts(fitted, budget, layout.windows, len(ids))
    under = f"lanes after the first are written under {policy.recipe_title}, {budget} tokens per "
    note = f"{under}head" + (f": {where}" if where else "")
    return ChangedRun(made, f"under {policy.recipe_title}", (note,))


def _intervened(
    request: DecodeRequest, loaded: LoadedModel, ids: Sequence[int], check: Callable[[], None]
) -> ChangedRun:
    refuse_uneven(loaded, "an intervention")
    heads = int(loaded.model.config.get_text_config().num_attention_heads)
    changes: dict[int, Change] = {}
    text, titles = list(ids), []
    for spec in request.interventions:
        own = spec.intervention
        text = own.edit(loaded, text).ids
        made = own.changes(loaded, heads)
        if twice := sorted(changes.keys() & made.keys()):
            raise ValueError(
                f"interventions: {own.title} and one before it both change layer {twice[0]}: leave "
                "one out"
            )
        changes |= made
        titles.append(own.title)

    def stepper() -> Stepper:
        made = Stepper(ChangedReader(loaded, changes, check), loaded.unembed, rereads=True)
        made.begin(text)
        return made

    who = " and ".join(titles)
    note = f"lanes after the first are written with {who}: every pass reads the whole text anew"
    return ChangedRun(stepper, f"with {who}", (note,))
