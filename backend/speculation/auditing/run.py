"""The audit of a run of our own engine: what it recorded against plain passes of its models."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.auditing.audit import Audit, Check
from tokenarium.backend.speculation.auditing.counts import check_counts
from tokenarium.backend.speculation.auditing.draft_checks import (
    PROBS_TOLERANCE,
    DraftedChildren,
    check_draft_probs,
    check_drafted_tokens,
)
from tokenarium.backend.speculation.auditing.identity import check_identity, not_greedy
from tokenarium.backend.speculation.auditing.plain_head import plain_head
from tokenarium.backend.speculation.auditing.plain_reader import PlainReader, processed
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.node_schema import STATUSES
from tokenarium.backend.speculation.request import SpeculateRequest
from tokenarium.backend.speculation.result import SpeculationResult
from tokenarium.backend.speculation.tree import Draw
from tokenarium.backend.speculation.vocabulary import compare

TARGET_PROBS = "target law"
"""Name of the check, as stored with runs."""
IN_TEXT, BESIDE = 256, 8
"""Nodes at which distributions are computed anew: those that became text, which one pass gives, and
others, which take a pass each."""


@torch.inference_mode()
def audit(
    result: SpeculationResult,
    request: SpeculateRequest,
    loaded: LoadedModel,
    draft: LoadedModel | None,
    check: Callable[[], None] = lambda: None,
) -> Audit:
    """Audit a run that has ended, computed just now or long ago.

    Distributions are computed anew by plain passes, which share nothing with the reader of trees.

    Args:
        result: what it recorded.
        request: what was asked.
        loaded: the target.
        draft: the draft model, where the drafter reads with one.
        check: called in every layer; raises to stop.
    """
    drafter, processors = request.drafter.drafter, request.processors
    text = (*result.prompt_ids.tolist(), *result.token_ids.tolist())
    target = PlainReader(loaded, text, check=check)
    shared = None if draft is None else compare(loaded, draft)

    @cache
    def plain(layers: int | None) -> PlainReader:
        return PlainReader(draft or loaded, text, layers=layers, shared=shared, check=check)

    states = drafter.source == "target_states"
    head = plain_head(drafter.head, loaded, target, text, request.draft_len) if states else None
    in_text, beside = drafted_children(result)

    def own(place: DraftedChildren) -> Tensor:
        if head is not None:
            return head(place)
        early = drafter.source == "target_layers" or drafter.nested
        return plain(int(place.source.rpartition(" ")[2]) if early else None)(place.before)

    def probs(place: DraftedChildren) -> Tensor:
        return processors.soft_probs(own(place)[None], [place.before])[0]

    # At temperature 0 the likeliest are taken, whatever the drafter draws above it.
    draw: Draw = "deterministic" if processors.greedy else drafter.draw
    dtype = (draft or loaded).dtype
    return Audit(
        (
            _identity(result, processors, loaded, target),
            check_draft_probs([*in_text, *beside], own, processors, dtype),
            # Which nodes became text does not depend on what was drawn below them.
            check_drafted_tokens(in_text, probs, draw, request.seed),
            _check_target_probs([*in_text, *beside], processors, loaded, target),
            check_counts(result.rounds, result.node_columns, result.token_ids, result.token_node),
        )
    )


def _identity(
    result: SpeculationResult, processors: Processors, loaded: LoadedModel, reader: PlainReader
) -> Check:
    if not processors.greedy:
        return not_greedy()
    return check_identity(
        result.prompt_ids.tolist(),
        result.token_ids.tolist(),
        result.plain_ids.tolist(),
        processed(reader, processors),
        loaded.dtype,
    )


def drafted_children(
    result: SpeculationResult,
) -> tuple[list[DraftedChildren], list[DraftedChildren]]:
    """Return the children of nodes of a run: of nodes that became text, and of some others.

    Pruned children count: they were drawn too.
    """
    stayed = [STATUSES.index("root"), STATUSES.index("accepted")]
    nodes = result.node_columns
    drafted = nodes[nodes["draw_order"] >= 0]
    drafted = drafted[np.lexsort((drafted["draw_order"], drafted["parent"]))]
    siblings = {
        int(parent): list(children)
        for parent, children in groupby(drafted, lambda node: int(node["parent"]))
    }
    in_text = [parent for parent in siblings if nodes["status"][parent] in stayed]
    others = [parent for parent in siblings if nodes["status"][parent] not in stayed]
    found = [
        [_drafted(result, parent, siblings[parent]) for parent in _spread(parents, most)]
        for parents, most in ((in_text, IN_TEXT), (others, BESIDE))
    ]
    return found[0], found[1]


def _drafted(result: SpeculationResult, parent: int, children: Sequence[Any]) -> DraftedChildren:
    before, depth = _text_before(result, parent)
    return DraftedChildren(
        before,
        tuple(int(child["token_id"]) for child in children),
        tuple(float(child["q_raw"]) for child in children),
        depth=depth,
        source=result.sources[int(children[0]["source"])],
        target=tuple(float(child["p_raw"]) for child in children),
    )


def _text_before(result: SpeculationResult, node: int) -> tuple[tuple[int, ...], int]:
    """Return all tokens up to a node, itself included, and how many of them were drafted."""
    nodes, path = result.node_columns, list[int]()
    new = int(result.rounds["new_tokens"][: nodes["round"][node]].sum())
    while (parent := int(nodes["parent"][node])) >= 0:
        path.append(int(nodes["token_id"][node]))
        node = parent
    text = result.prompt_ids.tolist() + result.token_ids[:new].tolist()
    return (*text, *path[::-1]), len(path)


def _check_target_probs(
    places: Sequence[DraftedChildren],
    processors: Processors,
    loaded: LoadedModel,
    reader: PlainReader,
) -> Check:
    """Compare the target's probabilities in trees with those of each path read alone."""
    worst, count = 0.0, 0
    for place in places:
        probs = processors.soft_probs(reader(place.before)[None], [place.before])[0]
        recorded = torch.tensor(place.target, device=probs.device)
        differences = (probs[list(place.tokens)] - recorded).abs()
        if not (known := differences[~recorded.isnan()]).numel():
            continue
        worst, count = max(worst, float(known.max())), count + 1
    if not count:
        return Check(TARGET_PROBS, "not applicable", "Nothing was drafted.")
    tolerance = PROBS_TOLERANCE.get(loaded.dtype, PROBS_TOLERANCE[torch.float32])
    evidence = (
        f"At {count} nodes the target's probabilities in a tree differ by at most {worst:.2g} from "
        f"those of the node's path read alone (fails above {tolerance:g})."
    )
    numbers = {"places": float(count), "difference": worst, "tolerance": tolerance}
    return Check(TARGET_PROBS, "passed" if worst <= tolerance else "failed", evidence, numbers)


def _spread(places: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` of the places, evenly."""
    count = len(places)
    return [places[at * count // most] for at in range(most)] if count > most else list(places)
