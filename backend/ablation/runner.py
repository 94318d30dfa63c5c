"""Read a text with each part of the model cut out, and check the heads that matter most."""

from collections.abc import Callable

import numpy as np
import torch

from tokenarium.backend.ablation.parts import Cutter, Falls
from tokenarium.backend.ablation.request import AblateRequest
from tokenarium.backend.ablation.result import AblateResult
from tokenarium.backend.attribution.check import Faithfulness, check
from tokenarium.backend.attribution.replacing import replacements
from tokenarium.backend.attribution.target import find_target, position_of
from tokenarium.backend.cost.fits import refuse_text_unless_fits, refuse_unless_free
from tokenarium.backend.cost.work import Choices
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.observe.overwriting import BATCH_TOKENS, Overwriter
from tokenarium.backend.observe.writers import writers
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter

SHARE = 20
"""The check cuts one head in so many where nobody says how many."""


@torch.no_grad()
def ablate(
    request: AblateRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> AblateResult:
    """Return what a token loses when each part is cut out.

    Args:
        limit: most tokens; what happens to a longer text is the request's choice.
        emit: receives progress.
        cancel: checked in every pass.
    Raises: ValueError where the text, the target or the model does not allow it; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    cutter = _cutter(request, loaded, tokens, ProgressReporter(emit, cancel).report)
    falls = cutter.falls()
    by_head = np.array([falls.head[:, layer, head].mean() for layer, head in cutter.heads])
    k = request.top or max(1, round(len(cutter.heads) / SHARE))
    return _result(loaded, tokens, cutter, falls, check(cutter, by_head, k))


def _cutter(
    request: AblateRequest,
    loaded: LoadedModel,
    tokens: Tokens,
    report: Callable[[str, int, int], None],
) -> Cutter:
    """Return the text, read once, and where parts are resampled the texts drawn anew."""
    refuse_text_unless_fits(loaded, len(tokens.ids), Choices(tiles=1, top_k=1, lens=False))
    position = position_of(request.target, len(tokens.ids))
    ids = tokens.ids[:position]
    draws = request.draws if request.ablation == "resample" else 0
    width = int(loaded.model.config.get_text_config().hidden_size)
    kept = 4 * len(loaded.layers) * len(ids) * (1 + draws) + 12 * max(BATCH_TOKENS, len(ids))
    remedies = ("take a shorter text", "choose ablation=mean, which reads one text")
    refuse_unless_free(loaded.device, 4 * width * kept, "what readings keep", "the model", remedies)
    report("the text", 0, 1)
    chosen = writers(loaded, ids)

    def read(texts: list[int]) -> Overwriter:
        return Overwriter(loaded, texts, chosen, lambda done, of: report("parts cut", done, of))

    reading = read(ids)
    if not reading.heads:
        raise ValueError(
            f"no layer of {loaded.name} attends to earlier tokens: an attribution by "
            "occlusion needs none that does"
        )
    target = find_target(loaded, tokens, position, request.against, lambda: reading.logits)
    # A text drawn anew keeps what the tokenizer or the template added.
    drawn = replacements(loaded, ids, request.seed, range(draws)) if draws else []
    added = tokens.special[:position]
    anew = [np.where(added, ids, row).tolist() for row in drawn]
    random = np.random.default_rng(request.seed)
    return Cutter(
        reading, [read(row) for row in anew], target, random, zero=request.ablation == "zero"
    )


def _result(
    loaded: LoadedModel, tokens: Tokens, cutter: Cutter, falls: Falls, checked: Faithfulness
) -> AblateResult:
    target, against = cutter.target, cutter.target.against
    readings = (cutter.reading, *cutter.instead)
    return AblateResult(
        token_ids=np.asarray(tokens.ids, np.int32),
        token_text=tokens.text,
        text=tokens.source,
        **tokens.turns(),
        target_position=target.position,
        target_id=target.token,
        target_text=decode_each(loaded, [target.token])[0],
        against_id=-1 if against is None else against,
        against_text="" if against is None else decode_each(loaded, [against])[0],
        value_nats=cutter.whole,
        head_nats=falls.head,
        attention_nats=falls.attention,
        mlp_nats=falls.mlp,
        layer_nats=falls.layer,
        check_k=checked.k,
        check_drop_nats=checked.drop,
        check_random_nats=checked.random,
        check_low_nats=checked.low,
        check_high_nats=checked.high,
        check_p=checked.p,
        verdict=checked.verdict,
        passes=sum(each.passes for each in readings),
        token_steps=sum(each.token_steps for each in readings),
        dropped_tokens=tokens.dropped,
        notes=tokens.notes,
    )
