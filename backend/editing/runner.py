"""Edit a prompt, make its cache in several ways, and compare what follows."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from tokenarium.backend.cache.full_model import divergence
from tokenarium.backend.cost.fits import refuse_unless_free
from tokenarium.backend.editing.request import EditRequest
from tokenarium.backend.editing.result import EditResult
from tokenarium.backend.editing.splice import Piece, Splicer, copied, pieces
from tokenarium.backend.models.generating import end_of_text, wait
from tokenarium.backend.models.layer_kinds import attention_layers
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.rotary_crossing import refuse_crossing
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter

TITLES = {
    "recomputed": "Read anew",
    "pie": "Spliced, keys turned (PIE)",
    "unturned": "Spliced, keys not turned",
    "unedited": "The prompt before the edit",
}


@dataclass(frozen=True)
class Lane:
    """One cache and what follows from it."""

    logits: Tensor
    """[S, V] float32."""
    cache: DynamicCache
    computed: int
    ready_ms: float


def edit_prompt(
    request: EditRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> EditResult:
    """Read a prompt, edit it, and compare its spliced cache with reading anew.

    Args:
        limit: most tokens of the prompt; what happens to a longer one is the request's choice.
        emit: receives progress.
        cancel: checked before every pass.
    Raises: ValueError where an edit or the model does not allow it; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    parts = pieces(tokens.ids, _edits(request, loaded, len(tokens.ids)))
    edited = [token for part in parts for token in part.ids]
    _refuse(request, loaded, len(tokens.ids), len(edited))
    report = ProgressReporter(emit, cancel).report
    splicer = Splicer(loaded, cancel.check)
    report("reading the prompt", 0, len(TITLES) + 1)
    before = DynamicCache()
    splicer.read(tokens.ids, before, 0)
    lanes: dict[str, Lane] = {}
    written = _write(splicer, loaded, edited, request.max_new_tokens)
    for done, slug in enumerate(TITLES, 1):
        report(TITLES[slug].lower(), done, len(TITLES) + 1)
        lanes[slug] = _lane(slug, splicer, loaded, before, tokens.ids, parts, written)
    return _result(loaded, tokens, parts, written, lanes)


def _edits(
    request: EditRequest, loaded: LoadedModel, length: int
) -> list[tuple[int, int, list[int]]]:
    """Return start, end and new tokens of every edit.

    Raises: ValueError where there are no such tokens, or the last one is edited.
    """
    found = []
    for edit in request.edits:
        if edit.end >= length:
            raise ValueError(
                f"end={edit.end} of an edit is not within the {length} tokens of the prompt but "
                f"the last: choose at most {length - 1}, as the last token is always read anew"
            )
        encoded = loaded.tokenizer(
            edit.replacement,
            add_special_tokens=False,
            split_special_tokens=True,
            truncation=False,
            verbose=False,
        )
        found.append((edit.start, edit.end, [int(key) for key in encoded["input_ids"]]))
    return found


def _refuse(request: EditRequest, loaded: LoadedModel, before: int, after: int) -> None:
    """Refuse what cannot be spliced, or does not fit.

    Raises: ValueError saying why.
    """
    if len(attention_layers(loaded.model.config)) != len(loaded.layers):
        raise ValueError(
            f"model={loaded.name!r} has layers that sum the text up in a state, which cannot be "
            "spliced: choose a model in which every layer attends"
        )
    if after < 2:
        raise ValueError("edits leave fewer than 2 tokens: delete less")
    last = max(before, after) + request.max_new_tokens
    refuse_crossing(loaded, min(before, after), last, "shorten the prompt or lower max_new_tokens")
    if last > loaded.context and not request.past_context:
        raise ValueError(
            f"max_new_tokens={request.max_new_tokens} after {max(before, after)} tokens is above "
            f"the {loaded.context} that {loaded.name} was made to read: shorten the prompt, or set "
            "overflow to exceed"
        )
    config = loaded.model.config.get_text_config()
    width = int(getattr(config, "vocab_size", 0)) * 4 * (2 * last + 4 * request.max_new_tokens)
    held = 6 * last * len(loaded.layers) * int(config.hidden_size) * 8
    refuse_unless_free(
        loaded.device,
        width + held,
        f"{last} tokens under four caches with {loaded.name}",
        "the model",
        ["shorten the prompt", "lower max_new_tokens"],
    )


def _write(splicer: Splicer, loaded: LoadedModel, edited: list[int], most: int) -> list[int]:
    """Return what the model writes after the edited prompt: the likeliest tokens."""
    cache, stops = DynamicCache(), end_of_text(loaded)
    written = [int(splicer.read(edited, cache, 0, 1)[0].argmax())]
    while len(written) < most and written[-1] not in stops:
        place = len(edited) + len(written) - 1
        written.append(int(splicer.read(written[-1:], cache, place, 1)[0].argmax()))
    return written


def _lane(
    slug: str,
    splicer: Splicer,
    loaded: LoadedModel,
    before: DynamicCache,
    ids: list[int],
    parts: list[Piece],
    written: list[int],
) -> Lane:
    """Make one cache, read the prompt's last token over it, and then what was written."""
    edited = [token for part in parts for token in part.ids]
    length = len(ids if slug == "unedited" else edited)
    wait(loaded.device)
    start = time.perf_counter()
    if slug == "recomputed":
        cache, computed = DynamicCache(), len(edited) - 1
        splicer.read(edited[:-1], cache, 0)
    elif slug == "unedited":
        cache, computed = copied(before, length - 1), 0
    else:
        made = splicer.splice(before, _without_last(parts), turn=slug == "pie")
        cache, computed = made.cache, made.computed
    first = splicer.read(edited[-1:], cache, length - 1, 1)
    wait(loaded.device)
    took = (time.perf_counter() - start) * 1e3
    rows = [first]
    if len(written) > 1:
        rows.append(splicer.read(written[:-1], cache, length, len(written) - 1))
    return Lane(torch.cat(rows), cache, computed + 1, took)


def _without_last(parts: list[Piece]) -> list[Piece]:
    """Return the pieces without the prompt's last token, which is always kept and read anew."""
    *rest, last = parts
    assert last.origin is not None
    shorter = Piece(last.ids[:-1], last.start, last.origin)
    return [*rest, shorter] if shorter.ids else rest


def _result(
    loaded: LoadedModel,
    tokens: Tokens,
    parts: list[Piece],
    written: list[int],
    lanes: dict[str, Lane],
) -> EditResult:
    edited = [token for part in parts for token in part.ids]
    origin = _origins(parts)
    full = lanes["recomputed"]
    measured = [divergence(full.logits, lane.logits, written) for lane in lanes.values()]
    said = torch.stack([lane.logits.argmax(-1) for lane in lanes.values()]).cpu().numpy()
    errors = {
        name: np.stack([_errors(slug, lane, full, origin, name) for slug, lane in lanes.items()])
        for name in ("keys", "values")
    }
    return EditResult(
        caches=tuple(lanes),
        titles=tuple(TITLES[slug] for slug in lanes),
        prompt_ids=np.asarray(tokens.ids, np.int32),
        prompt_text=tokens.text,
        edited_ids=np.asarray(edited, np.int32),
        edited_text=tuple(decode_each(loaded, edited)),
        origin=origin,
        token_ids=np.asarray(written, np.int32),
        token_text=tuple(decode_each(loaded, written)),
        said_ids=said.astype(np.int32),
        said_text=tuple(tuple(decode_each(loaded, row.tolist())) for row in said),
        kl_nats=np.stack([one["kl_nats"] for one in measured]),
        top1_agree=np.stack([one["top1_agree"] for one in measured]),
        surprisal_nats=np.stack([one["surprisal_nats"] for one in measured]),
        key_error=errors["keys"],
        value_error=errors["values"],
        computed_tokens=np.asarray([lane.computed for lane in lanes.values()], np.int32),
        ready_ms=np.asarray([lane.ready_ms for lane in lanes.values()], np.float32),
        notes=tokens.notes,
    )


def _origins(parts: list[Piece]) -> NDArray[np.int32]:
    """Return [U] where each token of the edited prompt stood before; -1 for a new one."""
    found = [
        np.full(len(part.ids), -1)
        if part.origin is None
        else part.origin + np.arange(len(part.ids))
        for part in parts
    ]
    return np.concatenate(found).astype(np.int32)


def _errors(
    slug: str, lane: Lane, full: Lane, origin: NDArray[np.int32], name: str
) -> NDArray[np.float32]:
    """Return [L] how far kept keys or values after the first edit are from those read anew."""
    length = len(origin) - 1  # the last token is read anew in every lane
    place = np.arange(length)
    changed = np.flatnonzero(origin[:length] != place)
    edit = changed[0] if len(changed) else length
    here = np.flatnonzero((origin[:length] >= 0) & (place >= edit))
    there = origin[here] if slug == "unedited" else here
    found = []
    for own, other in zip(lane.cache.layers, full.cache.layers, strict=True):
        held = getattr(own, name)[0][:, torch.from_numpy(there).long()].float()
        exact = getattr(other, name)[0][:, torch.from_numpy(here).long()].float()
        found.append(float((held - exact).norm() / exact.norm()) if len(here) else np.nan)
    return np.asarray(found, np.float32)
