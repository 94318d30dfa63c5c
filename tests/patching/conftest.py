"""Parts of transformers' own class overwritten by hooks that know nothing of this project."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from tests.trace.conftest import letters, twins
from tokenarium.backend.observe import overwriting

__all__ = ["letters", "twins"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read few rows at once, so that layers before the first overwritten one are left out."""
    monkeypatch.setattr(overwriting, "BATCH_TOKENS", 24)


Part = tuple[str, int]
"""residual, attention, mlp or heads (all of them side by side), and the layer."""


def module_of(oracle: Any, part: Part) -> tuple[Any, bool]:
    """Return the module, and whether what enters it is meant rather than what leaves it."""
    site, layer = part
    gpt2 = hasattr(oracle, "transformer")
    block = oracle.transformer.h[layer] if gpt2 else oracle.model.layers[layer]
    attention = block.attn if gpt2 else block.self_attn
    if site == "residual":
        return block, True
    if site == "heads":
        return (attention.c_proj if gpt2 else attention.o_proj), True
    if site == "mlp":
        return getattr(block, "post_feedforward_layernorm", block.mlp), False
    if hasattr(block, "post_feedforward_layernorm"):
        return block.post_attention_layernorm, False
    return attention, False


def tensor_of(given: Any) -> Tensor:
    return given if isinstance(given, Tensor) else given[0]


def kept(oracle: PreTrainedModel, ids: list[int], layers: int) -> dict[Part, Tensor]:
    """Return [T, D] of every part in a plain reading."""
    found: dict[Part, Tensor] = {}
    handles = []
    for part in [(site, layer) for site in SITES for layer in range(layers)]:
        module, before = module_of(oracle, part)

        def see(*given: Any, part: Part = part, before: bool = before) -> None:
            found[part] = tensor_of(given[1] if before else given[2])[0].clone()

        add = module.register_forward_pre_hook if before else module.register_forward_hook
        handles.append(add(see))
    logits_of(oracle, ids)
    for handle in handles:
        handle.remove()
    return found


SITES = ("residual", "attention", "mlp", "heads")


def logits_of(
    oracle: PreTrainedModel, ids: list[int], instead: Mapping[Part, Tensor] | None = None
) -> Tensor:
    """Return [V] after a text, whole [T, D] outputs of parts replaced; NaN leaves a number."""
    handles = []
    for part, values in (instead or {}).items():
        module, before = module_of(oracle, part)

        def put(*given: Any, values: Tensor = values, before: bool = before) -> Any:
            own = tensor_of(given[1] if before else given[2])
            new = torch.where(values.isnan(), own, values)
            if before:
                return (new, *given[1][1:])
            return new if isinstance(given[2], Tensor) else (new, *given[2][1:])

        add = module.register_forward_pre_hook if before else module.register_forward_hook
        handles.append(add(put))
    with torch.no_grad():
        found = oracle(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    for handle in handles:
        handle.remove()
    return torch.log_softmax(found.double(), -1)
