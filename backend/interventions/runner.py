"""Run an intervention: the text twice, plain and changed, with the same instruments."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.cost.fits import refuse_text_unless_fits
from tokenarium.backend.cost.work import Choices
from tokenarium.backend.interventions.predictions import Predictions, compare
from tokenarium.backend.interventions.request import InterventionRequest
from tokenarium.backend.interventions.result import LEAST_QUERIES, InterventionResult
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import decode_each, tokenise
from tokenarium.backend.models.uneven_layers import refuse_uneven
from tokenarium.backend.observe.reading import Reading, read
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter


@torch.inference_mode()
def intervene(
    request: InterventionRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> InterventionResult:
    """Read a text as it is and with one thing changed.

    Args:
        limit: most tokens; what happens to a longer text is the request's choice.
        emit: receives progress.
        cancel: checked in every layer, for every block of changed rows and every chunk of
            predictions.
    Raises: ValueError where the text, a parameter or the model does not allow it; Cancelled.
    """
    cancel.check()
    method = request.method
    refuse_uneven(loaded, "an intervention")
    tokens = tokenise(loaded, request, limit)
    refuse_text_unless_fits(loaded, len(tokens.ids), Choices(tiles=1, top_k=1, lens=False))
    edited = method.edit(loaded, tokens.ids)
    changes = method.changes(loaded, int(loaded.model.config.get_text_config().num_attention_heads))
    layers, report = len(loaded.layers), ProgressReporter(emit, cancel).report
    plain_stream, plain = read(
        loaded, tokens.ids, {}, lambda layer: report("reading layers", layer, 2 * layers)
    )
    stream, changed = read(
        loaded,
        edited.ids,
        changes,
        lambda layer: report("reading layers, changed", layers + layer, 2 * layers),
    )
    predicted = compare(
        loaded,
        (plain_stream, tokens.ids),
        (stream, edited.ids),
        edited.aligned,
        lambda done, total: report("predicting", done, total),
    )
    received, changed_received = received_mean(plain), received_mean(changed)
    touched = np.zeros(received.shape[:2], np.bool_)
    for layer, heads in enumerate(changed.touched):
        touched[layer, list(heads)] = True
    return InterventionResult(
        token_ids=np.asarray(tokens.ids, np.int32),
        token_text=tokens.text,
        text=tokens.source,
        **tokens.turns(),
        changed_ids=np.asarray(edited.ids, np.int32),
        changed_text=decode_each(loaded, edited.ids),
        aligned=np.asarray(edited.aligned, np.int32),
        surprisal_nats=predicted.surprisal,
        changed_surprisal_nats=predicted.changed_surprisal,
        entropy_nats=predicted.entropy,
        changed_entropy_nats=predicted.changed_entropy,
        kl_nats=predicted.kl,
        sink_score=received[..., 0].copy(),
        changed_sink_score=changed_received[..., 0].copy(),
        sink_position=most_attended(received),
        changed_sink_position=most_attended(changed_received),
        received_mass=received,
        changed_received_mass=changed_received,
        touched=touched,
        taken_mass=torch.stack(changed.taken).cpu().numpy(),
        **_losses(predicted, edited.aligned),
        acts=method.acts,
        dropped_tokens=tokens.dropped,
        notes=tokens.notes,
    )


def received_mean(reading: Reading) -> NDArray[np.float32]:
    """Return [L, H, T] the mean attention each key receives from the queries that could see it."""
    received = torch.stack(reading.received)
    queries = torch.arange(received.shape[-1], 0, -1, device=received.device)
    mean: NDArray[np.float32] = (received / queries).cpu().numpy()
    return mean


def most_attended(received: NDArray[np.float32]) -> NDArray[np.int32]:
    """Return [L, H] the key with the highest mean of ``received`` [L, H, T] that rests on enough
    queries."""
    last = max(1, received.shape[-1] - LEAST_QUERIES + 1)
    position: NDArray[np.int32] = received[..., :last].argmax(-1).astype(np.int32)
    return position


def _losses(predicted: Predictions, aligned: list[int]) -> dict[str, Any]:
    """Return the losses over the tokens that both runs predict, and how sure their difference is.

    A token that an edit put in stands first, where nothing is predicted.
    """
    there = np.asarray(aligned)
    plain = np.where(there >= 0, predicted.surprisal[there], np.nan).astype(np.float64)
    changed = predicted.changed_surprisal.astype(np.float64)
    both = np.isfinite(plain) & np.isfinite(changed)
    count = int(both.sum())
    difference = (changed - plain)[both]
    nan = float("nan")
    return {
        "loss_nats": float(plain[both].mean()) if count else nan,
        "changed_loss_nats": float(changed[both].mean()) if count else nan,
        "loss_difference_nats": float(difference.mean()) if count else nan,
        "loss_error_nats": float(difference.std(ddof=1) / count**0.5) if count > 1 else nan,
        "compared_tokens": count,
    }
