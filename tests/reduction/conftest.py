"""Reduced models by transformers' own class and hooks that know nothing of this project."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.trace.conftest import letters, twins
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.reduction.request import ReduceRequest
from tokenarium.backend.reduction.result import ReduceResult
from tokenarium.backend.reduction.runner import reduce
from tokenarium.backend.reduction.texts import two_texts
from tokenarium.backend.runs.events import CancelToken

__all__ = ["letters", "twins"]


def run(loaded: LoadedModel, slug: str, tokens: int = 40, **given: Any) -> ReduceResult:
    """Return a reduction of a tiny model, on shipped passages unless ``text`` is given."""
    text = given.pop("text", "")
    request = ReduceRequest(
        model="tiny", reduction={"slug": slug, "parameters": given}, text=text, tokens=tokens
    )
    return reduce(request, loaded, 2048, lambda _: None, CancelToken())


def both_texts(loaded: LoadedModel, tokens: int = 40) -> tuple[list[int], list[int]]:
    """Return the ids of the calibration text and of the held-out one."""
    first, held_out = two_texts(loaded, "tiny", "", tokens, 0, 2048)
    return first.ids, held_out.ids


def nats_of(oracle: Any, ids: Sequence[int]) -> NDArray[np.float64]:
    """Return [T - 1] the surprisal of each token but the first, as the model now computes."""
    given = torch.tensor([list(ids)])
    with torch.no_grad():
        logits = oracle(input_ids=given, use_cache=False).logits[0, :-1].double()
    return -torch.log_softmax(logits, -1).gather(1, given[0, 1:, None])[:, 0].numpy()


def blocks(oracle: Any) -> Any:
    """Return the decoder layers."""
    return oracle.transformer.h if hasattr(oracle, "transformer") else oracle.model.layers


def skipped(module: Any, args: tuple[Any, ...], output: Any) -> Any:
    """A hook by which a layer hands on what entered it."""
    return args[0] if isinstance(output, Tensor) else (args[0], *output[1:])
