"""Run a logit lens: the layers up to the last wanted token, then their streams decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tokenarium.backend.cost.fits import refuse_text_unless_fits
from tokenarium.backend.cost.work import STREAM_BYTES, Choices
from tokenarium.backend.lens.head import Head, bfloat16_is_faster
from tokenarium.backend.lens.request import LensRequest
from tokenarium.backend.lens.result import LensResult
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each, tokenise
from tokenarium.backend.observe.residuals import residuals
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.kernels.vocab_stats import VocabStats, vocab_stats

CHUNK = 64
"""Rows decoded at once: their logits over 49,152 tokens stay below 13 MB."""
CHECKED = 32
"""Cells whose product is made in float32 too."""


@torch.inference_mode()
def lens(
    request: LensRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> LensResult:
    """Decode the residual streams of chosen layers after chosen tokens.

    Args:
        limit: most tokens; what happens to a longer text is the request's choice.
        emit: receives progress and, a few times a second, the unfinished result.
        cancel: checked in every layer, while reading and while decoding.
    Raises: ValueError where a row or layer lies outside the text or the model; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    rows = request.rows or tuple(range(len(tokens.ids)))
    layers = request.layers or tuple(range(len(loaded.layers) + 1))
    _refuse_outside("rows", rows, len(tokens.ids), "tokens of the text")
    _refuse_outside("layers", layers, len(loaded.layers) + 1, "residual streams of the model")
    refuse_text_unless_fits(loaded, rows[-1] + 1, Choices(1, 1, 0, lens=False))
    draft = _Draft(loaded, tokens, rows, layers, not request.exact and bfloat16_is_faster(loaded))
    progress = ProgressReporter(emit, cancel, draft.result, lambda: draft.ids.nbytes * 3)
    width = int(loaded.model.config.get_text_config().hidden_size)
    at_once = STREAM_BYTES // ((len(loaded.layers) + 1) * width * loaded.dtype.itemsize)
    at_once = max(CHUNK, at_once // CHUNK * CHUNK)
    for start in range(0, len(rows), at_once):
        block = slice(start, min(start + at_once, len(rows)))
        draft.decode(block, _streams(draft, block, progress), progress)
    return draft.result()


def _refuse_outside(name: str, places: Sequence[int], count: int, what: str) -> None:
    if places[-1] >= count:
        raise ValueError(
            f"{name} has {places[-1]}, and there are {count} {what}: choose at most {count - 1}"
        )


@dataclass
class _Draft:
    """The lens while it fills up: -1 or NaN where nothing is decoded yet."""

    loaded: LoadedModel
    tokens: Tokens
    rows: tuple[int, ...]
    layers: tuple[int, ...]
    rounded: bool
    """Whether products inside the model are made in bfloat16."""
    errors: list[tuple[float, float, bool]] = field(default_factory=list)
    """Of each checked cell, of entropy and divergence, and whether the first guess is the same."""

    def __post_init__(self) -> None:
        shape = (len(self.layers), len(self.rows))
        self.ids = np.full(shape, -1, np.int32)
        self.entropy = np.full(shape, np.nan, np.float32)
        self.kl = np.full(shape, np.nan, np.float32)
        self.spelled = {-1: ""}
        self.head = Head(self.loaded, rounded=self.rounded)
        cells = shape[0] * shape[1]
        self.checked = {int(n) for n in np.linspace(0, cells - 1, min(CHECKED, cells))}

    def decode(self, block: slice, streams: dict[int, Tensor], progress: ProgressReporter) -> None:
        """Decode the streams [R, D] of a block of rows, by layer."""
        last = len(self.loaded.layers)
        inside = [n for n, layer in enumerate(self.layers) if layer != last]
        chunks = range(0, block.stop - block.start, CHUNK)
        total, done = len(chunks) * (len(inside) + 1), 0
        for start in chunks:
            part = slice(start, start + CHUNK)
            own = slice(block.start + start, min(block.start + start + CHUNK, block.stop))
            exact = self.head.logits(streams[last][part], exact=True)
            output = vocab_stats(exact, top_k=1, keep_probs=True)
            if last in self.layers:
                self._keep(self.layers.index(last), own, output, torch.zeros_like(output.entropy))
            for number in inside:
                logits = self.head.logits(streams[self.layers[number]][part])
                found = vocab_stats(logits, top_k=1, other=output)
                self._keep(number, own, found, found.kl)
                done += 1
                progress.report("decoding layers", done, total)
            if self.rounded:
                self._check(own, streams, part, output)
            done += 1

    def _keep(self, number: int, own: slice, said: VocabStats, kl: Tensor | None) -> None:
        assert said.top_ids is not None
        assert kl is not None
        self.ids[number, own] = said.top_ids[:, 0].cpu().numpy()
        self.entropy[number, own] = said.entropy.cpu().numpy()
        self.kl[number, own] = kl.cpu().numpy()

    def _check(
        self, own: slice, streams: dict[int, Tensor], part: slice, output: VocabStats
    ) -> None:
        """Compute the checked cells of some rows again, their products in float32."""
        last = len(self.loaded.layers)
        cells = [
            (number, row)
            for number in range(len(self.layers))
            for row in range(own.start, own.stop)
            if self.layers[number] != last and number * len(self.rows) + row in self.checked
        ]
        if not cells:
            return
        at = [row - own.start for _, row in cells]
        stream = torch.stack(
            [streams[self.layers[n]][part][i] for (n, _), i in zip(cells, at, strict=True)]
        )
        against = output.rows(at)
        exact = vocab_stats(self.head.logits(stream, exact=True), top_k=1, other=against)
        assert exact.kl is not None
        assert exact.top_ids is not None
        for place, (number, row) in enumerate(cells):
            entropy, kl = float(exact.entropy[place]), float(exact.kl[place])
            self.errors.append(
                (
                    abs(entropy - float(self.entropy[number, row])),
                    abs(kl - float(self.kl[number, row])),
                    int(exact.top_ids[place, 0]) == int(self.ids[number, row]),
                )
            )

    def result(self) -> LensResult:
        """Return what is known so far."""
        new = [key for key in np.unique(self.ids).tolist() if key not in self.spelled]
        self.spelled.update(zip(new, decode_each(self.loaded, new), strict=True))
        nan = float("nan")
        entropy, kl, same = zip(*self.errors, strict=True) if self.errors else ((), (), ())
        return LensResult(
            rows=np.asarray(self.rows, np.int32),
            layers=np.asarray(self.layers, np.int32),
            row_text=tuple(self.tokens.text[row] for row in self.rows),
            lens_ids=self.ids.copy(),
            lens_text=tuple(tuple(map(self.spelled.__getitem__, r)) for r in self.ids.tolist()),
            lens_entropy_nats=self.entropy.copy(),
            lens_kl_nats=self.kl.copy(),
            products="bfloat16" if self.rounded else str(self.loaded.dtype).removeprefix("torch."),
            checked_cells=len(self.errors),
            entropy_error_nats=max(entropy, default=nan),
            kl_error_nats=max(kl, default=nan),
            same_first=sum(same) / len(same) if same else nan,
            length=len(self.tokens.ids),
            notes=self.tokens.notes,
        )


def _streams(draft: _Draft, block: slice, progress: ProgressReporter) -> dict[int, Tensor]:
    """Read the text up to a block's last row; return the streams [R, D] at its rows, by layer."""
    loaded, rows = draft.loaded, draft.rows[block]
    streams: dict[int, Tensor] = {}
    wanted = {*draft.layers, len(loaded.layers)}
    at = torch.tensor(rows, device=loaded.device)

    def see(number: int, residual: Tensor) -> None:
        if number in wanted:
            streams[number] = residual[0][at]
        progress.report("reading layers", number, len(loaded.layers), partial=False)

    ids = torch.tensor(draft.tokens.ids[: rows[-1] + 1], device=loaded.device)
    with residuals(loaded.layers, see):
        loaded.body(input_ids=ids[None], use_cache=False)
    return streams
