"""Run a trace: one forward pass that is watched, then its predictions."""

from collections.abc import Callable

import torch
from torch import Tensor

from tokenarium.backend.cost.fits import refuse_text_unless_fits
from tokenarium.backend.cost.work import Choices
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import decode_each, tokenise
from tokenarium.backend.models.uneven_layers import layers_apart
from tokenarium.backend.observe import recording
from tokenarium.backend.observe.kept_attention import Reading
from tokenarium.backend.observe.residuals import residuals
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.backend.trace.attention import AttentionTrace
from tokenarium.backend.trace.draft import Draft
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.result import TraceResult
from tokenarium.backend.trace.second_pass import lens_by_second_pass, streams_fit
from tokenarium.backend.trace.vocabulary import predict
from tokenarium.kernels.attention_stats import implementation

Emit = Callable[[Event], None]

PARTIAL_SECONDS = 0.2
"""Partial results come at most this often."""


@torch.inference_mode()
def trace(
    request: TraceRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Emit,
    cancel: CancelToken,
) -> TraceResult:
    """Read a text once and measure every token, head and layer.

    Args:
        limit: most tokens; what happens to a longer text is the request's choice.
        emit: receives progress and, a few times a second, the unfinished result.
        cancel: checked in every layer and for every chunk of predictions.
    Raises: ValueError where the text or a choice does not fit the model; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    choices = Choices(request.tiles, request.top_k, len(request.forgetting), request.logit_lens)
    refuse_text_unless_fits(loaded, len(tokens.ids), choices)
    vocabulary = int(loaded.model.config.get_text_config().vocab_size)
    draft = Draft(
        request, tokens, len(loaded.layers), min(request.top_k, vocabulary), loaded.context
    )
    if request.top_k > vocabulary:
        draft.notes.append(f"top_k={request.top_k} is cut to the vocabulary's {vocabulary} tokens")
    path, reason = implementation(loaded.device)
    if loaded.device.type != "cpu":
        draft.notes.append(f"attention statistics by {path}: {reason}")

    def result(finished: bool) -> TraceResult:
        return draft.result(lambda ids: decode_each(loaded, ids), finished)

    progress = ProgressReporter(
        emit, cancel, lambda: result(False), lambda: draft.nbytes, PARTIAL_SECONDS
    )
    ids = torch.tensor(tokens.ids, device=loaded.device)
    streams = _read(request, loaded, ids, draft, progress)
    final = streams.pop(draft.layers)
    predict(
        loaded,
        final,
        streams,
        ids,
        draft,
        lambda done, total: progress.report("predicting", done, total),
    )
    if request.logit_lens and not streams:
        draft.notes.append(
            "the logit lens was computed while the model read the text a second time: the "
            "residual streams of all layers are too large to keep at once"
        )
        lens_by_second_pass(loaded, ids, final, draft, progress.report)
    return result(finished=True)


def _read(
    request: TraceRequest,
    loaded: LoadedModel,
    ids: Tensor,
    draft: Draft,
    progress: ProgressReporter,
) -> dict[int, Tensor]:
    """Run the forward pass; return the residual streams [T, D] that are kept, by layer."""
    streams: dict[int, Tensor] = {}

    def see(number: int, residual: Tensor) -> None:
        draft.keep_residual(number, residual[0])
        lens = request.logit_lens and streams_fit(residual, draft.layers)
        if lens or number == draft.layers:
            streams[number] = residual[0].clone()  # some families change the stream in place
        if number:
            draft.layers_done = number
            progress.report("reading layers", number, draft.layers)

    reading = Reading.of(loaded, ids.tolist())
    layout = capabilities.layers(loaded)
    draft.open_layers(layout.most_heads, layout.kv_heads)
    draft.notes += layers_apart(loaded)
    watch = AttentionTrace(draft, request.tiles, request.forgetting, reading)
    with recording(watch), residuals(loaded.layers, see):
        # The base model stops before the logits: T x V numbers are never held.
        loaded.body(input_ids=ids[None], use_cache=False)
    return streams
