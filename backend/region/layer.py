"""What one layer's attention is about to compute: kept from a run before, or read again."""

from contextlib import suppress

import torch
from torch import Tensor

from tokenarium.backend.cost.fits import refuse_text_unless_fits
from tokenarium.backend.cost.work import Choices
from tokenarium.backend.models import capabilities
from tokenarium.backend.models.choice import refuse_above
from tokenarium.backend.models.layer_kinds import attention_layers, layer_kinds
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, recording
from tokenarium.backend.observe.kept_attention import KEPT, Reading
from tokenarium.backend.runs.progress import ProgressReporter

KEPT_SOURCE = "kept queries and keys"
READ_SOURCE = "the model read the text again"


class _Reached(Exception):  # noqa: N818 - a way out, not an error
    """The wanted layer is reached; it and the layers after it need not run."""


class _Reader(Recorder):
    """Reads on to the wanted layer, and keeps the queries and keys it passes."""

    def __init__(self, layer: int, reading: Reading | None, progress: ProgressReporter) -> None:
        super().__init__()
        self._layer, self._reading, self._progress = layer, reading, progress
        self.wanted: AttentionCall | None = None

    def attend(self, call: AttentionCall) -> Tensor:
        self._progress.report("reading layers", call.layer, self._layer + 1)
        KEPT.put(self._reading, call)
        if call.layer != self._layer:
            return super().attend(call)
        self.wanted = call
        raise _Reached


def attention_of(
    loaded: LoadedModel, ids: list[int], layer: int, progress: ProgressReporter
) -> tuple[AttentionCall, str]:
    """Return the queries and keys of ``layer`` for a text, and where they came from.

    Args:
        ids: the text's tokens.
        progress: reports each layer where the model reads.
    Raises: ValueError if there is no such layer; Cancelled.
    """
    refuse_above("layer", layer, len(loaded.layers))
    if capabilities.layers(loaded).heads[layer] is None:
        kind = layer_kinds(loaded.model.config)[layer]
        raise ValueError(
            f"layer={layer} is of kind {kind} and has no attention: choose one of "
            f"{list(attention_layers(loaded.model.config))}"
        )
    reading = Reading.of(loaded, ids)
    kept = KEPT.get(reading, layer)
    if kept is not None:
        return kept, KEPT_SOURCE
    refuse_text_unless_fits(loaded, len(ids), Choices(top_k=0, factors=0, lens=False))
    reader = _Reader(layer, reading, progress)
    with recording(reader), suppress(_Reached):
        loaded.body(input_ids=torch.tensor([ids], device=loaded.device), use_cache=False)
    assert reader.wanted is not None
    return reader.wanted, READ_SOURCE
