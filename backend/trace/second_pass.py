"""The logit lens of a long text: a second forward pass that keeps a few streams at a time."""

from collections.abc import Callable
from contextlib import suppress

from torch import Tensor

from tokenarium.backend.cost.work import STREAM_BYTES
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe.residuals import residuals
from tokenarium.backend.trace.draft import Draft
from tokenarium.backend.trace.vocabulary import look


def streams_fit(stream: Tensor, layers: int) -> bool:
    """Return whether the residual streams of all layers, each like this one, are kept at once."""
    return stream.nbytes * (layers + 1) <= STREAM_BYTES


class _AllSeen(Exception):  # noqa: N818 - a way out, not an error
    """Every stream the lens needs went by; the last layer need not run."""


def lens_by_second_pass(
    loaded: LoadedModel,
    ids: Tensor,
    final: Tensor,
    draft: Draft,
    report: Callable[[str, int, int], None],
) -> None:
    """Read the text again and fill a draft with the logit lens, O(T D) memory at a time.

    Args:
        ids: [T] token ids.
        final: [T, D] the residual stream after the last layer, from the first pass.
        report: called with (what is done, done, total); may raise to stop.
    """
    at_once = max(1, STREAM_BYTES // final.nbytes - 1)
    streams: dict[int, Tensor] = {}

    def see(number: int, residual: Tensor) -> None:
        report("reading layers again", number, draft.layers)
        streams[number] = residual[0].clone()
        last = number == draft.layers - 1
        if len(streams) == at_once or last:
            look(loaded, final, streams, draft, lambda: report("logit lens", number, draft.layers))
            streams.clear()
        if last:
            raise _AllSeen

    with residuals(loaded.layers, see), suppress(_AllSeen):
        loaded.body(input_ids=ids[None], use_cache=False)
