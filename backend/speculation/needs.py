"""What a speculative run needs before it starts: positions after the prompt, and memory."""

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cost.free_memory import free_bytes
from tokenarium.backend.cost.work import Choices, Sizes, on_device
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.request import SpeculateRequest

_PROBS_COPIES = 8
"""Float32 copies of [nodes, V]: logits, distributions and the log of them, of both models."""


def past_context(loaded: LoadedModel, prompt: int, most: int, field: str) -> tuple[str, ...]:
    """Refuse more tokens than a model has positions; say what it was not trained for."""
    over = prompt + most - loaded.context
    if over <= 0:
        return ()
    if loaded.reads_past_context:
        return (
            f"tokens from {loaded.context} on are beyond the context that {loaded.name} was "
            "trained for",
        )
    raise ValueError(
        f"max_new_tokens={most} after a prompt of {prompt} tokens is above the {loaded.context} "
        f"learned positions of {field}={loaded.name!r}: shorten either by {over}, or choose a "
        "model with rotary positions"
    )


def refuse_unless_fits(
    request: SpeculateRequest, loaded: LoadedModel, draft: LoadedModel | None, prompt: int
) -> None:
    """Refuse a run that would not fit into what is free now, beside the models.

    Raises:
        ValueError: saying how much is needed, how much is free, and what would help.
    """
    free = free_bytes(loaded.device)
    needed = needed_bytes(request, loaded, draft, prompt)
    if free is None or needed <= free:
        return
    raise ValueError(
        f"{prompt} tokens, max_new_tokens={request.max_new_tokens} and tree_budget="
        f"{request.tree_budget} need {needed / 1e6:.0f} MB of memory beside the models, but "
        f"{max(0, free) / 1e6:.0f} MB are free: shorten the prompt, or lower either number"
    )


def needed_bytes(
    request: SpeculateRequest, loaded: LoadedModel, draft: LoadedModel | None, prompt: int
) -> int:
    """Return an upper estimate of what a run takes beside the models; see ``bytes_of_run``."""
    models = [loaded] if draft is None else [loaded, draft]
    configs = [model.model.config for model in models]
    return bytes_of_run(request, configs, loaded.dtype, loaded.device, prompt)


def bytes_of_run(
    request: SpeculateRequest,
    configs: list[PretrainedConfig],
    dtype: torch.dtype,
    device: torch.device,
    prompt: int,
) -> int:
    """Return an upper estimate of what a run takes beside the models.

    Args:
        configs: of the target, and of the draft model where there is one.
        dtype: of the weights.
        device: where they compute.
        prompt: tokens.
    """
    room = prompt + request.max_new_tokens + request.tree_budget + 1
    total = 0
    for config in configs:
        sizes = Sizes.of(config)
        work = on_device(sizes, dtype, Choices(1, 1, 0, lens=False), device)
        entry = 2 * sizes.kv_heads * sizes.head_size * dtype.itemsize
        probs = _PROBS_COPIES * 4 * (request.tree_budget + 1) * sizes.vocabulary
        total += work.total(prompt) + sizes.layers * room * entry + probs
    return total
