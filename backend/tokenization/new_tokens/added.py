"""A model that reads and gives tokens beyond its tables, for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.tokenization.new_tokens.initialiser import Rows


def tables_of(loaded: LoadedModel) -> tuple[Tensor, Tensor]:
    """Return [V, d] float32 rows of embeddings and of the output matrix.

    Raises:
        ValueError: if these are no tables of equal size that can be read.
    """
    modules: tuple[Any, Any] = (
        loaded.model.get_input_embeddings(),
        loaded.model.get_output_embeddings(),
    )
    found = (getattr(module, "weight", None) for module in modules)
    weights = [w for w in found if isinstance(w, Tensor) and w.is_floating_point()]
    if len(weights) < 2 or weights[0].shape != weights[1].shape:
        raise ValueError(
            f"{loaded.name} has no two tables of equal size in floating point for its tokens: "
            "choose another model, such as smollm2-135m-instruct"
        )
    first, second = (weight.detach().float() for weight in weights)
    return first, first if weights[0] is weights[1] else second


@contextmanager
def added(loaded: LoadedModel, rows: Rows) -> Iterator[int]:
    """Give a model new tokens and yield the id of the first of them.

    Inputs at or beyond it read their own rows, scaled as the model scales its embeddings; logits
    have a column more for each, which softmax then counts with the old ones.
    """
    embedding: nn.Module = loaded.model.get_input_embeddings()
    head: Any = loaded.model.get_output_embeddings()
    first = int(head.weight.shape[0])
    taken: list[Tensor] = []
    scale = _scale(embedding)

    def known(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        ids = given[0]
        taken.append(ids - first)
        return (ids.masked_fill(ids >= first, 0), *given[1:])

    def read(_: nn.Module, __: tuple[Any, ...], states: Tensor) -> Tensor:
        places = taken.pop()
        states = states.clone()
        mine = places >= 0
        states[mine] = (scale * rows.table_in[places[mine]]).to(states.dtype)
        return states

    def give(_: nn.Module, given: tuple[Any, ...], logits: Tensor) -> Tensor:
        more = given[0] @ rows.table_out.to(given[0].dtype).T
        return torch.cat([logits, more.to(logits.dtype)], -1)

    hooks = (
        embedding.register_forward_pre_hook(known),
        embedding.register_forward_hook(read),
        head.register_forward_hook(give),
    )
    try:
        yield first
    finally:
        for hook in hooks:
            hook.remove()


def _scale(embedding: nn.Module) -> float:
    """Return by how much a module multiplies the rows of its table, as that of Gemma 3 does."""
    weight: Any = embedding.weight
    key = int(weight.float().norm(dim=1).argmax())
    row = weight.detach()[key].float()
    given = embedding(torch.tensor([key], device=weight.device)).detach()[0].float()
    return float((given @ row) / (row @ row))
