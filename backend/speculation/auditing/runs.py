"""Audits a run of our own from what it stored, with the models read anew."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.models.loaded import LoadedModel
from backend.speculation.auditing.audit import Audit, Check
from backend.speculation.auditing.counts import check_counts
from backend.speculation.auditing.drafted import LAW_TOLERANCE, Drafted, check_drawn, check_law
from backend.speculation.auditing.identity import check_identity, not_greedy
from backend.speculation.auditing.reading import PlainReader, processed
from backend.speculation.drafting import Drafting
from backend.speculation.laws import Processors
from backend.speculation.records import STATUSES
from backend.speculation.request import SpeculateRequest
from backend.speculation.result import SpeculationResult
from backend.speculation.vocabulary import SharedVocabulary

TARGET = "target law"
IN_TEXT, BESIDE = 256, 8
"""Nodes at which laws are computed anew: those that became text, all of whose laws one pass gives,
and others, which take a pass each."""


def audit_run(
    result: SpeculationResult, request: SpeculateRequest, loaded: LoadedModel, drafting: Drafting
) -> SpeculationResult:
    """Return a run with its audit, while its models are at hand."""
    draft = drafting.reader.loaded if drafting.reader else None
    audit = repeat_audit(result, request, loaded, draft, drafting.shared)
    return replace(result, audit=audit.as_dict())


@torch.inference_mode()
def repeat_audit(
    result: SpeculationResult,
    request: SpeculateRequest,
    loaded: LoadedModel,
    draft: LoadedModel | None,
    shared: SharedVocabulary | None = None,
) -> Audit:
    """Audit a run from its arrays; laws are computed anew by plain passes over whole texts.

    Args:
        result: of the run.
        request: that asked for it.
        loaded: the target.
        draft: what the drafter reads with; None where it reads the text alone.
        shared: how the draft's ids are the target's.
    """
    drafter, processors = request.drafter.drafter, request.processors
    text = (*result.prompt_ids.tolist(), *result.token_ids.tolist())
    layers = drafter.layers(len(loaded.layers)) if drafter.reads == "target_layers" else None
    target = PlainReader(loaded, text)
    own = PlainReader(draft or loaded, text, layers=layers, shared=shared)
    in_text, beside = drafted_in(result)

    def law(place: Drafted) -> Tensor:
        return processors.draft_law(own(place.before)[None], [place.before])[0]

    # Which nodes became text does not depend on what was drawn below them; which others are
    # picked may.
    fixed = processors.greedy or draft is None
    dtype = (draft or loaded).dtype
    return Audit(
        (
            _identity(result, processors, loaded, target),
            check_law([*in_text, *beside], own, processors, dtype),
            check_drawn(in_text, law, "deterministic" if fixed else drafter.draw, request.seed),
            _target_law([*in_text, *beside], processors, loaded, target),
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


def drafted_in(result: SpeculationResult) -> tuple[list[Drafted], list[Drafted]]:
    """Return what was drawn below nodes of a run: such as became text, and some others.

    Pruned children count: they were drawn too.
    """
    stayed = [STATUSES.index("root"), STATUSES.index("accepted")]
    nodes = result.node_columns
    guesses = nodes[nodes["draw_order"] >= 0]
    guesses = guesses[np.lexsort((guesses["draw_order"], guesses["parent"]))]
    families = {
        int(parent): list(children)
        for parent, children in groupby(guesses, lambda node: int(node["parent"]))
    }
    in_text = [parent for parent in families if nodes["status"][parent] in stayed]
    others = [parent for parent in families if nodes["status"][parent] not in stayed]
    found = [
        [_drafted(result, parent, families[parent]) for parent in _spread(parents, most)]
        for parents, most in ((in_text, IN_TEXT), (others, BESIDE))
    ]
    return found[0], found[1]


def _drafted(result: SpeculationResult, parent: int, children: Sequence[Any]) -> Drafted:
    return Drafted(
        _text_before(result, parent),
        tuple(int(child["token_id"]) for child in children),
        tuple(float(child["q_raw"]) for child in children),
        target=tuple(float(child["p_raw"]) for child in children),
    )


def _text_before(result: SpeculationResult, node: int) -> tuple[int, ...]:
    """Return all tokens up to a node, itself included."""
    nodes, path = result.node_columns, list[int]()
    new = int(result.rounds["new_tokens"][: nodes["round"][node]].sum())
    while (parent := int(nodes["parent"][node])) >= 0:
        path.append(int(nodes["token_id"][node]))
        node = parent
    return (*result.prompt_ids.tolist(), *result.token_ids[:new].tolist(), *path[::-1])


def _target_law(
    places: Sequence[Drafted], processors: Processors, loaded: LoadedModel, reader: PlainReader
) -> Check:
    """Compare the target's probabilities in trees with those of each path read alone."""
    worst, count = 0.0, 0
    for place in places:
        law = processors.draft_law(reader(place.before)[None], [place.before])[0]
        told = torch.tensor(place.target, device=law.device)
        differences = (law[list(place.tokens)] - told).abs()
        if not (known := differences[~told.isnan()]).numel():
            continue
        worst, count = max(worst, float(known.max())), count + 1
    if not count:
        return Check(TARGET, "not applicable", "Nothing was drafted.")
    tolerance = LAW_TOLERANCE.get(loaded.dtype, LAW_TOLERANCE[torch.float32])
    evidence = (
        f"At {count} nodes the target's probabilities in a tree differ by at most {worst:.2g} from "
        f"those of the node's path read alone (fails above {tolerance:g})."
    )
    numbers = {"places": float(count), "difference": worst, "tolerance": tolerance}
    return Check(TARGET, "passed" if worst <= tolerance else "failed", evidence, numbers)


def _spread(places: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` of the places, evenly."""
    count = len(places)
    return [places[at * count // most] for at in range(most)] if count > most else list(places)
