"""Follow a token: one row and one column of a head's attention, in O(T) memory."""

from collections.abc import Callable
from dataclasses import replace

import torch

from tokenarium.backend.follow.request import FollowRequest
from tokenarium.backend.follow.result import FollowResult
from tokenarium.backend.models.choice import refuse_above
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import tokenise
from tokenarium.backend.region.layer import attention_of
from tokenarium.backend.runs.events import CancelToken, Event
from tokenarium.backend.runs.progress import ProgressReporter
from tokenarium.kernels.attention_stats import Want, attention_rows, attention_stats


@torch.inference_mode()
def follow(
    request: FollowRequest,
    loaded: LoadedModel,
    limit: int,
    emit: Callable[[Event], None],
    cancel: CancelToken,
) -> FollowResult:
    """Return where a token looks, and who looks at it.

    Raises: ValueError if layer, head or token lie outside the model or the text; Cancelled.
    """
    cancel.check()
    tokens = tokenise(loaded, request, limit)
    length, token = len(tokens.ids), request.token
    refuse_above("token", token, length)
    call, source = attention_of(loaded, tokens.ids, request.layer, ProgressReporter(emit, cancel))
    refuse_above("head", request.head, call.q.shape[1])
    unknown = torch.full((length,), float("nan"))
    looks_at, looked_at_by = unknown.clone(), unknown
    own = call.of_head(request.head, slice(token, token + 1))
    row = next(attention_rows(own.inputs()))
    looks_at[: token + 1] = row.weights[0, 0, : token + 1].cpu()
    later = call.of_head(request.head, slice(token, length)).inputs()
    # The output is not wanted, so any values do.
    _, stats = attention_stats(replace(later, v=later.k[..., :1]), Want(columns=(token,)))
    assert stats.columns is not None
    looked_at_by[token:] = stats.columns[0, 0].cpu()
    return FollowResult(looks_at.numpy(), looked_at_by.numpy(), source)
