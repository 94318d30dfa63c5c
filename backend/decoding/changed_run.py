"""How lanes after the first read: under a KV-cache policy, or with interventions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from tokenarium.backend.cache.acting import where_it_acts
from tokenarium.backend.cache.budget import CacheSizes, tokens_per_head
from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.decoding.changed_readers import CachedReader, ChangedReader
from tokenarium.backend.decoding.drafted_stepper import CountedReader, DraftedStepper
from tokenarium.backend.decoding.request import DecodeRequest
from tokenarium.backend.decoding.stepper import Counters, Stepper
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.decoding.watching_reader import WatchingReader
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.uneven_layers import refuse_uneven
from tokenarium.backend.observe.layer import Change
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.draft_state import DraftReader, DraftState
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.nested_reader import draft_reader
from tokenarium.backend.speculation.reader import TreeReader
from tokenarium.backend.speculation.state_heads.opening import open_head
from tokenarium.backend.speculation.vocabulary import compare, logits_width


@dataclass(frozen=True)
class ChangedRun:
    """What makes a fresh stepper, over the prompt, for each lane."""

    stepper: Callable[[Strategy], Stepper]
    words: str
    """What stands after the title of such a lane."""
    notes: tuple[str, ...]


def changed_run(
    request: DecodeRequest,
    loaded: LoadedModel,
    ids: Sequence[int],
    check: Callable[[], None],
    beside: Mapping[str, LoadedModel],
) -> ChangedRun | None:
    """Return how lanes after the first read; None where they read as the first does.

    Args:
        request: with a policy, a drafter or interventions, or none.
        loaded: the model.
        ids: of the prompt.
        check: called in every layer; raises to stop.
        beside: the draft model by its name, where a drafter has one.

    Raises: ValueError where policy, budget or an intervention does not fit model or prompt.
    """
    if request.policy is not None:
        return _under_policy(request, request.policy.policy, loaded, ids, check)
    if request.drafter is not None:
        return _drafted(request, request.drafter.drafter, loaded, ids, check, beside)
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

    def made(_: Strategy) -> Stepper:
        sequence = CachedSequence(loaded, policy, budget, request.seed, check)
        stepper = Stepper(CachedReader(sequence), loaded.unembed)
        stepper.begin(ids)
        return stepper

    where = where_it_acts(fitted, budget, layout.windows, len(ids))
    under = f"lanes after the first are written under {policy.recipe_title}, {budget} tokens per "
    note = f"{under}head" + (f": {where}" if where else "")
    return ChangedRun(made, f"under {policy.recipe_title}", (note,))


def _drafted(
    request: DecodeRequest,
    drafter: Drafter,
    loaded: LoadedModel,
    ids: Sequence[int],
    check: Callable[[], None],
    beside: Mapping[str, LoadedModel],
) -> ChangedRun:
    source, most = drafter.source, request.max_new_tokens
    room = len(ids) + most + request.tree_budget + 1
    draft = beside[request.draft_model] if source == "draft_model" else None
    if draft is not None and (shared := compare(loaded, draft)).agreement != "equal":
        raise ValueError(
            f"draft_model={request.draft_model!r} and {loaded.name} do not have the same tokens "
            f"({shared.reason}): choose another, or a drafter without a model"
        )

    def made(strategy: Strategy) -> Stepper:
        counters = Counters()
        head = open_head(loaded, drafter.head) if source == "target_states" else None
        kept = None if head is None else head.state_layers
        target = WatchingReader(loaded, room, check, keep_states=kept)
        reader: DraftReader | None = None
        if head is not None:
            reader = head.reader(target.states, room)
        elif source == "target_layers":  # a cache of its own: the target's is read ahead here
            reader = TreeReader(loaded, room, check, drafter.layers(len(loaded.layers)))
        elif draft is not None:
            reader = draft_reader(drafter, TreeReader(draft, room, check))

        def state(prompt: list[int], draft_len: int) -> DraftState:
            return DraftState(
                ids=prompt,
                vocabulary=logits_width(loaded),
                draft_len=draft_len,
                tree_budget=request.tree_budget,
                processors=_processors(strategy),
                random=np.random.default_rng([request.seed, 2]),
                reader=None if reader is None else CountedReader(reader, counters),
            )

        stepper = DraftedStepper(
            target, loaded.unembed, drafter, state, request.draft_len, most, counters
        )
        stepper.begin(ids)
        return stepper

    who = f"{drafter.title} guesses ahead in lanes after the first"
    note = f"{who}: each chooses as without, and what follows a right guess costs no pass"
    return ChangedRun(made, f"with {drafter.title}", (note,))


def _processors(strategy: Strategy) -> Processors:
    """Return what a drafter draws its guesses by: as the strategy, as far as it knows."""
    pipeline = strategy.pipeline()
    names = [own.name for own in fields(Processors)]
    known = {name: getattr(pipeline, name) for name in names}
    return Processors(**{**known, **({} if strategy.draws else {"temperature": 0.0})})


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

    def stepper(_: Strategy) -> Stepper:
        made = Stepper(ChangedReader(loaded, changes, check), loaded.unembed, rereads=True)
        made.begin(text)
        return made

    who = " and ".join(titles)
    note = f"lanes after the first are written with {who}: every pass reads the whole text anew"
    return ChangedRun(stepper, f"with {who}", (note,))
