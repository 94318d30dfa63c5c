"""Audits a finished run: from what it recorded, and from one more pass of each model."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from backend.models.loaded import LoadedModel
from backend.speculation.auditing.audit import Audit, Check
from backend.speculation.auditing.counts import check_counts
from backend.speculation.auditing.drafted import DRAWN, LAW, Drafted, check_drawn, check_law
from backend.speculation.auditing.identity import NAME as IDENTITY
from backend.speculation.auditing.identity import check_identity
from backend.speculation.drafter import find as drafter
from backend.speculation.drafting import Drafting
from backend.speculation.reader import TreeReader
from backend.speculation.request import SpeculateRequest
from backend.speculation.result import SpeculationResult
from backend.speculation.tree import Draw

MOST_PLACES = 64
"""Nodes of the text whose children's law is computed again: the first ones."""


@torch.inference_mode()
def audited(
    result: SpeculationResult,
    request: SpeculateRequest,
    loaded: LoadedModel,
    drafting: Drafting,
    check: Callable[[], None] = lambda: None,
) -> SpeculationResult:
    """Return the result with its audit.

    Args:
        result: of a run that has ended.
        request: what was asked.
        loaded: the target.
        drafting: of the run; its reader's model is read again by a reader of its own.
        check: called in every layer; raises to stop.
    """
    checks = [
        check_counts(result.rounds, result.node_columns, result.token_ids, result.token_node),
        _identity(result, request, loaded, check),
        *_drafted(result, request, drafting, check),
    ]
    return replace(result, audit=Audit(tuple(checks)).as_dict())


def _identity(
    result: SpeculationResult,
    request: SpeculateRequest,
    loaded: LoadedModel,
    check: Callable[[], None],
) -> Check:
    if request.temperature:
        evidence = "Above temperature 0 two right runs may say different things."
        return Check(IDENTITY, "not applicable", evidence)

    def logits(before: Sequence[int]) -> Tensor:
        found = TreeReader(loaded, len(before), check).extend(before)
        return request.processors.penalised(found[None].float(), [before])[0]

    prompt, new = result.prompt_ids.tolist(), result.token_ids.tolist()
    return check_identity(prompt, new, result.plain_ids.tolist(), logits, loaded.dtype)


def _drafted(
    result: SpeculationResult,
    request: SpeculateRequest,
    drafting: Drafting,
    check: Callable[[], None],
) -> list[Check]:
    reader, shared = drafting.reader, drafting.shared
    text = [*result.prompt_ids.tolist(), *result.token_ids.tolist()]
    known = set(shared.target_ids) if shared else None
    if reader is None or (known is not None and not known.issuperset(text)):
        why = (
            "The drafter reads no model."
            if reader is None
            else "The text has tokens that the draft model spells in its own."
        )
        return [Check(name, "not applicable", why) for name in (LAW, DRAWN)]
    first = len(result.prompt_ids) - 1
    tail = text[first : first + MOST_PLACES]
    again = TreeReader(reader.loaded, first + len(tail), check, reader.layers)
    ids = shared.translated(text) if shared else text
    if first:
        again.extend(ids[:first])
    rows = again.read(ids[first : first + len(tail)], range(-1, len(tail) - 1))
    rows = (shared.logits(rows) if shared else rows).float()

    def logits(before: Sequence[int]) -> Tensor:
        return rows[len(before) - 1 - first]

    def law(place: Drafted) -> Tensor:
        penalised = [place.before] if request.repetition_penalty != 1 else None
        return request.processors.draft_law(logits(place.before)[None], penalised)[0]

    places = _places(result, text, first, len(tail))
    # At temperature 0 the likeliest are taken, whatever the drafter draws above it.
    draw: Draw = drafter(result.drafter).draw if request.temperature else "deterministic"
    return [
        check_law(places, logits, request.processors, reader.loaded.dtype),
        check_drawn(places, law, draw, request.seed),
    ]


def _places(result: SpeculationResult, text: list[int], first: int, count: int) -> list[Drafted]:
    """Return the children of roots and accepted nodes among ``count`` tokens of the text."""
    nodes, found = result.node_columns, list[Drafted]()
    ends = np.cumsum(result.rounds["new_tokens"])
    for number, round_ in enumerate(result.rounds):
        start = first + int(ends[number] - round_["new_tokens"])
        for depth in range(int(round_["accepted_len"]) + 1):
            at = start + depth
            if at >= first + count:
                return found
            node = _node_at(result, number, depth)
            children = nodes[(nodes["parent"] == node) & (nodes["draw_order"] >= 0)]
            if len(children):
                found.append(
                    Drafted(
                        tuple(text[: at + 1]),
                        tuple(children["token_id"].tolist()),
                        tuple(children["q_raw"].tolist()),
                    )
                )
    return found


def _node_at(result: SpeculationResult, number: int, depth: int) -> int:
    """Return the root of a round, or the node of its accepted path at a depth."""
    if depth == 0:
        return int(result.rounds["first_node"][number])
    before = int(result.rounds["new_tokens"][:number].sum())
    return int(result.token_node[before + depth - 1])
