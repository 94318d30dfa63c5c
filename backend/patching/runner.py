"""Read two prompts, and one of them again with cells of the other put in."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokenarium.backend.attribution.target import Target, find_target, position_of
from tokenarium.backend.attribution.units import units_of
from tokenarium.backend.cost.fits import refuse_text_unless_fits, refuse_unless_free
from tokenarium.backend.cost.work import Choices
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.observe.overwriting import BATCH_TOKENS, Overwriter, Site, Write
from tokenarium.backend.observe.writers import writers
from tokenarium.backend.patching.aligned import Pair, pairs_of
from tokenarium.backend.patching.request import PatchRequest
from tokenarium.backend.patching.result import PatchResult
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter

SITES: tuple[Site, ...] = ("residual", "attention", "mlp")
LEAST_NATS = 0.05
"""Difference of the two prompts below which a share of it would be noise."""


@torch.no_grad()
def patch(
    request: PatchRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> PatchResult:
    """Return how far each cell of one prompt's reading turns the other's prediction.

    Args:
        limit: most tokens of either text; what happens to a longer one is the request's choice.
        emit: receives progress.
        cancel: checked in every pass.
    Raises: ValueError where the texts, the target or the model does not allow it; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    alike = {"text": request.other, "messages": ()}
    others = tokenise(loaded, request.model_copy(update=alike), limit)
    report = ProgressReporter(emit, cancel).report
    text, other = _read(request, loaded, tokens, report), _read(request, loaded, others, report)
    target = _target(request, loaded, (tokens, text), (others, other))
    pairs = pairs_of(units_of(tokens, request.unit, len(text.ids)), text.ids, other.ids)
    values = [float(target.log_probability(each.logits)) for each in (text, other)]
    _refuse_alike(target, loaded, *values)
    into, source = (other, text) if request.into == "other" else (text, other)
    turned = [pair if into is other else _turned(pair) for pair in pairs]
    cells, whole = _patched(into, source, turned, target)
    start, end = values[::-1] if into is other else values
    return PatchResult(
        token_ids=np.asarray(tokens.ids, np.int32),
        token_text=tokens.text,
        special=tokens.special,
        text=tokens.source,
        **tokens.turns(),
        other_ids=np.asarray(others.ids, np.int32),
        other_text=others.text,
        target_position=len(text.ids),
        other_position=len(other.ids),
        target_id=target.token,
        target_text=decode_each(loaded, [target.token])[0],
        against_id=int(target.against or 0),
        against_text=decode_each(loaded, [int(target.against or 0)])[0],
        text_nats=values[0],
        other_nats=values[1],
        units=np.array([(pair.unit.start, pair.unit.stop) for pair in pairs], np.int32),
        unit_text=tuple(pair.unit.text for pair in pairs),
        counterpart=tuple("".join(others.text[at] for at in pair.there) for pair in pairs),
        sites=SITES,
        recovered=(cells - start) / (end - start),
        whole=(whole - start) / (end - start),
        passes=text.passes + other.passes,
        token_steps=text.token_steps + other.token_steps,
        dropped_tokens=tokens.dropped + others.dropped,
        notes=(*tokens.notes, *_notes(text, other)),
    )


def _read(
    request: PatchRequest,
    loaded: LoadedModel,
    tokens: Tokens,
    report: Callable[[str, int, int], None],
) -> Overwriter:
    refuse_text_unless_fits(loaded, len(tokens.ids), Choices(tiles=1, top_k=1, lens=False))
    ids = tokens.ids[: position_of(request.target, len(tokens.ids))]
    width = int(loaded.model.config.get_text_config().hidden_size)
    held = 4 * width * (4 * len(loaded.layers) * len(ids) + 12 * max(BATCH_TOKENS, len(ids)))
    remedies = ("take a shorter text",)
    refuse_unless_free(loaded.device, held, "what two readings keep", "the model", remedies)
    report("the two texts", 0, 1)
    chosen = writers(loaded, ids)
    return Overwriter(loaded, ids, chosen, lambda done, of: report("patched cells", done, of))


def _target(
    request: PatchRequest,
    loaded: LoadedModel,
    text: tuple[Tokens, Overwriter],
    other: tuple[Tokens, Overwriter],
) -> Target:
    """Return the text's token, compared with the one named, or with the other text's.

    Raises: ValueError where both are the same.
    """

    def of(read: tuple[Tokens, Overwriter], against: str | None) -> Target:
        return find_target(loaded, read[0], len(read[1].ids), against, lambda: read[1].logits)

    own = of(text, request.against)
    if own.against is not None:
        return own
    theirs = of(other, None).token
    if theirs == own.token:
        said = decode_each(loaded, [theirs])[0]
        raise ValueError(
            f"other expects {said!r} as the text does: change another word of it, end both texts "
            "with the tokens to compare, or name the other one in against"
        )
    return Target(own.position, own.token, theirs)


def _refuse_alike(target: Target, loaded: LoadedModel, text: float, other: float) -> None:
    if abs(text - other) < LEAST_NATS:
        tokens = [target.token, int(target.against or 0)]
        first, second = decode_each(loaded, tokens)
        raise ValueError(
            f"other changes the model's choice between {first!r} and {second!r} by "
            f"{abs(text - other):.2g} nats, the least is {LEAST_NATS}: change words that matter"
        )


def _turned(pair: Pair) -> Pair:
    return Pair(pair.unit, pair.there, pair.here, pair.changes)


def _patched(
    into: Overwriter, source: Overwriter, pairs: list[Pair], target: Target
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return v [K, L, C] with each cell patched, and [K, L] with all cells of a layer.

    Args:
        pairs: ``here`` in the text that is patched from, ``there`` in the one patched into.
    """
    layers = len(into.loaded.layers)
    before = float(target.log_probability(into.logits))
    found = np.full((len(SITES), layers, len(pairs) + 1), before)
    everything = Pair(
        pairs[0].unit,
        tuple(at for pair in pairs for at in pair.here),
        tuple(at for pair in pairs for at in pair.there),
        changes=any(pair.changes for pair in pairs),
    )
    rows, where = [], []
    for column, pair in enumerate([*pairs, everything]):
        if not pair.here:
            found[:, :, column] = np.nan
        elif pair.changes:
            for number, site in enumerate(SITES):
                for layer in range(layers):
                    values = _known(source, site, layer)[list(pair.here)]
                    if torch.equal(values, _known(into, site, layer)[list(pair.there)]):
                        continue  # as embeddings of the same tokens are
                    rows.append([Write(site, layer, values, list(pair.there))])
                    where.append((number, layer, column))
    if rows:
        found[tuple(np.array(where).T)] = into.read(rows, target.log_probability)
    return found[:, :, :-1], found[:, :, -1]


def _known(source: Overwriter, site: Site, layer: int) -> Tensor:
    return source.residual[layer] if site == "residual" else source.wrote[site, layer]


def _notes(text: Overwriter, other: Overwriter) -> tuple[str, ...]:
    if len(text.ids) == len(other.ids):
        return ()
    return (
        f"the texts are {len(text.ids)} and {len(other.ids)} tokens long: what differs is aligned "
        "at its end, and the first tokens of the longer part are not patched",
    )
