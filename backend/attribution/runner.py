"""Run an attribution: the method's scores, then the check that stands beside them."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.attribution.attributor import Attribution
from tokenarium.backend.attribution.check import Faithfulness, check
from tokenarium.backend.attribution.curve import deletion_curve
from tokenarium.backend.attribution.game import Game
from tokenarium.backend.attribution.request import AttributeRequest
from tokenarium.backend.attribution.result import AttributeResult
from tokenarium.backend.attribution.rounded import Products, why_not
from tokenarium.backend.attribution.target import find_target, position_of
from tokenarium.backend.attribution.units import units_of
from tokenarium.backend.cost.fits import refuse_text_unless_fits, refuse_unless_free
from tokenarium.backend.cost.work import Choices
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter


@torch.no_grad()
def attribute(
    request: AttributeRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> AttributeResult:
    """Score the units of a text by what they did for one token.

    Args:
        limit: most tokens; what happens to a longer text is the request's choice.
        emit: receives progress.
        cancel: checked in every pass.
    Raises: ValueError where the text, the target, a parameter or the model does not allow it;
        Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    game = game_of(request, loaded, tokens, ProgressReporter(emit, cancel).report)
    found = request.attributor.attribute(game)
    checked = check(game, found.scores, request.top)
    return _result(request, tokens, game, found, checked)


def game_of(
    request: AttributeRequest,
    loaded: LoadedModel,
    tokens: Tokens,
    report: Callable[[str, int, int], None],
) -> Game:
    """Return the text with its target and units, read once.

    Raises: ValueError where there is no such target or unit, or the text does not fit.
    """
    refuse_text_unless_fits(loaded, len(tokens.ids), Choices(tiles=1, top_k=1, lens=False))
    position = position_of(request.target, len(tokens.ids))
    units = units_of(tokens, request.unit, position)
    return Game(
        loaded,
        tokens.ids[:position],
        units,
        lambda logits: find_target(loaded, tokens, position, request.against, logits),
        request.seed,
        report,
        _products(request, loaded),
    )


def _products(request: AttributeRequest, loaded: LoadedModel) -> Products | None:
    """Return the weights that changed texts are read with, where they are others."""
    if request.matmul_precision == "highest" or why_not(loaded):
        return None
    needed = 2 * sum(weight.numel() for weight in loaded.body.parameters())
    remedy = ("choose matmul_precision=highest",)
    refuse_unless_free(loaded.device, needed, "weights in bfloat16", "the model", remedy)
    return Products(loaded)


def _result(
    request: AttributeRequest,
    tokens: Tokens,
    game: Game,
    found: Attribution,
    checked: Faithfulness,
) -> AttributeResult:
    target, loaded = game.target, game.loaded
    points, falls = deletion_curve(game, found.scores, checked.k)
    return AttributeResult(
        token_ids=np.asarray(tokens.ids, np.int32),
        token_text=tokens.text,
        special=tokens.special,
        text=tokens.source,
        **tokens.turns(),
        target_position=target.position,
        target_id=target.token,
        target_text=decode_each(loaded, [target.token])[0],
        against_id=-1 if target.against is None else target.against,
        against_text="" if target.against is None else decode_each(loaded, [target.against])[0],
        value_nats=game.whole,
        units=np.array([(unit.start, unit.stop) for unit in game.units], np.int32),
        unit_text=tuple(unit.text for unit in game.units),
        scores=found.scores,
        low=_or_nan(found.low, found.scores),
        high=_or_nan(found.high, found.scores),
        score_unit=request.attributor.unit,
        check_k=checked.k,
        check_drop_nats=checked.drop,
        check_random_nats=checked.random,
        check_low_nats=checked.low,
        check_high_nats=checked.high,
        check_p=checked.p,
        verdict=checked.verdict,
        curve_k=points,
        curve_nats=falls,
        passes=game.reader.passes,
        token_steps=game.reader.token_steps,
        part_nats=np.empty((0, 0)) if found.parts is None else found.parts,
        rest_text=tuple(found.rest),
        rest_nats=np.array([*found.rest.values()], np.float64),
        dropped_tokens=tokens.dropped,
        notes=(*tokens.notes, *found.notes, *game.notes),
    )


def _or_nan(end: NDArray[np.float64] | None, like: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full_like(like, np.nan) if end is None else end
