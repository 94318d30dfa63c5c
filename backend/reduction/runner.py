"""Read a held-out text with a model that computes less, and with the whole one."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from tokenarium.backend.analysis.intervals import batch_means
from tokenarium.backend.cost.fits import refuse_text_unless_fits, refuse_unless_free
from tokenarium.backend.cost.work import Choices, Sizes
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens
from tokenarium.backend.observe.products import quick_products
from tokenarium.backend.reduction.bench import Bench
from tokenarium.backend.reduction.patterns import COPIES_TOKENS
from tokenarium.backend.reduction.reduction import Point, Reduced, Reduction
from tokenarium.backend.reduction.request import ReduceRequest
from tokenarium.backend.reduction.result import ReduceResult
from tokenarium.backend.reduction.stepper import MOST_LOGITS, Stepper
from tokenarium.backend.reduction.texts import two_texts
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter


class _Counter:
    """Counts layers that were computed of copies of texts, and says how far that is."""

    def __init__(self, reporter: ProgressReporter, total: int) -> None:
        self._reporter, self._total = reporter, max(1, total)
        self.layers = 0

    def __call__(self, layers: int) -> None:
        self.layers += layers
        done = min(self.layers, self._total)
        self._reporter.report("layers", done, self._total)


@torch.no_grad()
def reduce(
    request: ReduceRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> ReduceResult:
    """Return what a model that computes less loses, by how much less it computes.

    Args:
        limit: most tokens of a text.
        emit: receives progress.
        cancel: checked at every layer.
    Raises: ValueError where the text or the model does not allow it; Cancelled.
    """
    cancel.check()
    method: Reduction = request.reduction.method
    tokens = min(request.tokens, method.most_tokens)
    first, held_out = two_texts(loaded, request.model, request.text, tokens, request.seed, limit)
    _refuse_unless_fits(loaded, tokens)
    layers = len(loaded.layers)
    count = _Counter(ProgressReporter(emit, cancel), round(layers * (method.readings(layers) + 7)))
    with quick_products(loaded):
        bench = Bench(
            loaded,
            Stepper(loaded, first.ids, count),
            Stepper(loaded, held_out.ids, count),
            request.seed,
        )
        dense = bench.held_out.dense
        found = method.reduce(bench)
    return _result(
        method,
        held_out,
        len(first.ids),
        dense,
        found,
        count.layers / layers,
        given=bool(request.text),
    )


def _refuse_unless_fits(loaded: LoadedModel, tokens: int) -> None:
    refuse_text_unless_fits(loaded, tokens, Choices(tiles=1, top_k=1, lens=False))
    sizes = Sizes.of(loaded.model.config)
    needed = 4 * (8 * (sizes.hidden + sizes.inner) * max(tokens, COPIES_TOKENS) + 3 * MOST_LOGITS)
    remedies = ("ask for fewer tokens", "choose a smaller model")
    refuse_unless_free(loaded.device, needed, "copies of the text", "the model", remedies)


def _result(
    method: Reduction,
    tokens: Tokens,
    calibrated: int,
    dense: NDArray[np.float64],
    found: Reduced,
    readings: float,
    *,
    given: bool,
) -> ReduceResult:
    points, names = found.points, [*method.series]
    layers = len(points[0].computed)
    cut = f"the first {len(tokens.ids)} tokens are read: every model on the way reads them"
    few = (cut,) if len(tokens.ids) == method.most_tokens else ()
    without = np.full(layers, np.nan)
    thresholds = [without if each.threshold is None else each.threshold for each in points]
    differences = _differences(points[found.chosen], [points[number] for number in found.beside])
    return ReduceResult(
        token_ids=np.asarray(tokens.ids, np.int32),
        token_text=tokens.text,
        calibration_tokens=calibrated,
        cost_title=method.cost_title,
        series=tuple(names),
        exact=method.exact if found.enumerated else "",
        enumerated=found.enumerated,
        dense_nats=float(dense.mean()),
        point_series=np.array([names.index(each.series) for each in points], np.int32),
        point_label=tuple(each.label for each in points),
        setting=np.array([each.setting for each in points]),
        cost=np.array([each.cost for each in points]),
        loss_nats=np.array([each.nats.mean() for each in points]),
        token_nats=_after_first([each.nats for each in points]),
        dense_token_nats=_after_first([dense])[0],
        computed=np.stack([each.computed for each in points]).astype(np.float32),
        threshold=np.stack(thresholds),
        chosen=found.chosen,
        beside=np.array(found.beside, np.int32),
        difference_nats=differences[:, 0],
        difference_low_nats=differences[:, 1],
        difference_high_nats=differences[:, 2],
        readings=readings,
        notes=(*few, *found.notes, *(tokens.notes if given else ())),
    )


def _after_first(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return [N, T] of [N, T - 1]: of the first token nothing is known."""
    return np.pad(np.stack(rows), ((0, 0), (1, 0)), constant_values=np.nan).astype(np.float32)


def _differences(chosen: Point, others: Sequence[Point]) -> NDArray[np.float64]:
    """Return [K, 3] how much more each of the others loses a token, with the 95 % interval."""
    rows = np.full((len(others), 3), np.nan)
    for row, other in zip(rows, others, strict=True):
        row[0] = (other.nats - chosen.nats).mean()
        if interval := batch_means(other.nats - chosen.nats):
            row[1:] = interval.low, interval.high
    return rows
