"""What every kind of generation needs to know: when a model stops, and when a device is done."""

import torch

from tokenarium.backend.models.loaded import LoadedModel


def end_of_text(loaded: LoadedModel) -> set[int]:
    """Return the tokens after which a model stops."""
    config = loaded.model.generation_config
    ends = loaded.tokenizer.eos_token_id if config is None else config.eos_token_id
    if ends is None:
        ends = loaded.tokenizer.eos_token_id
    return set(ends) if isinstance(ends, list) else {ends} - {None}


def wait(device: torch.device) -> None:
    """Wait until everything asked of a device is done, so that a clock measures it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
