"""MLPs whose matrices are replaced by their best approximations of a low rank."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.reduction.bench import mlp_of

Forward = Callable[[Tensor], Tensor]


def small_mlps(loaded: LoadedModel, share: float) -> list[list[tuple[nn.Module, Forward]]]:
    """Return by layer the linear modules of its MLP, and what each computes at a low rank.

    W is projected on its first r singular vectors, r = ``share`` of its shorter side and at least
    1: no matrix of that rank is nearer to it (Eckart & Young, 1936).

    Raises: ValueError where an MLP is not made of plain matrices.
    """
    found = []
    for layer in loaded.layers:
        mlp = mlp_of(layer)
        parts = [] if mlp is None else [*mlp.modules()]
        plain = [part for part in parts if _is_matrix(part)]
        known = {id(each) for part in plain for each in part.parameters(recurse=False)}
        rest = [] if mlp is None else [each for each in mlp.parameters() if each.dim() > 1]
        if not plain or any(id(each) not in known for each in rest):
            raise ValueError(
                f"the MLPs of {loaded.name} are not made of plain matrices, so that none of a "
                "lower rank can take their place: choose another method or model"
            )
        found.append([(part, _low_rank(part, share)) for part in plain])
    return found


def low_rank_cost(loaded: LoadedModel, share: float) -> list[float]:
    """Return by layer the multiplications of its low-rank MLP over those of the whole one."""
    found = []
    for layer in loaded.layers:
        mlp = mlp_of(layer)
        assert mlp is not None
        parts: list[Any] = [part for part in mlp.modules() if _is_matrix(part)]
        sizes = [tuple(part.weight.shape) for part in parts]
        few = sum(_rank(size, share) * sum(size) for size in sizes)
        found.append(min(1.0, few / sum(rows * columns for rows, columns in sizes)))
    return found


def _is_matrix(part: Any) -> bool:
    return type(part).__name__ in ("Linear", "Conv1D") and part.weight.dim() == 2


def _rank(shape: tuple[int, ...], share: float) -> int:
    return max(1, round(share * min(shape)))


def _low_rank(part: Any, share: float) -> Forward:
    turned = type(part).__name__ == "Conv1D"
    weight = (part.weight.T if turned else part.weight).float()  # [out, in]
    rank = _rank(tuple(weight.shape), share)
    wide = weight.shape[0] <= weight.shape[1]
    # Eigenvectors of the smaller Gram matrix are the singular vectors of that side.
    gram = weight @ weight.T if wide else weight.T @ weight
    vectors = torch.linalg.eigh(gram.double())[1][:, -rank:].float()
    first, second = (vectors.T @ weight, vectors) if wide else (vectors.T, weight @ vectors)
    first, second = first.to(part.weight.dtype), second.to(part.weight.dtype)
    bias = part.bias

    def forward(given: Tensor) -> Tensor:
        return linear(linear(given, first), second, bias)

    return forward
