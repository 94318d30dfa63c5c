"""Whether a run fits: its models' positions, the memory that is free now, and the time allowed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cost import free_memory
from tokenarium.backend.cost.work import Bytes, Choices, Sizes, of_result, on_device
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.refusal import DoesNotFit

TIME_MARGIN = 1.5
"""A run is refused for its time only where it is expected to take so many times what is allowed:
estimates rest on earlier runs, when the machine did other things beside them."""
_SHORTER = "take a shorter text or a smaller model, or run the app on your own machine"


def past_context(
    loaded: LoadedModel, tokens: int, refusal: str, whose: str = "this model"
) -> tuple[str, ...]:
    """Return what to say of a run that reads more tokens than a model was trained for.

    Args:
        loaded: the model.
        tokens: that are read in all.
        refusal: what is said to whoever asked where the model has no such positions.
        whose: the model, as it is called in a note.
    Returns: one note, or none where there is nothing to say.
    Raises: ValueError with ``refusal``.
    """
    if tokens <= loaded.context:
        return ()
    if not loaded.reads_past_context:
        raise ValueError(refusal)
    return (f"tokens from {loaded.context} on are beyond the context {whose} was trained for",)


def refuse_beyond_time(total_ms: float | None, seconds: float) -> None:
    """Refuse a run that would be stopped long before its end.

    Args:
        total_ms: what it is expected to take; None where nothing is known, which accepts.
        seconds: that are allowed.
    Raises: ValueError saying how long it would take, how long it may, and what would help.
    """
    if total_ms is not None and total_ms > TIME_MARGIN * seconds * 1e3:
        raise ValueError(
            f"this would take about {total_ms / 1e3:.0f} seconds, going by runs of this model on "
            f"this machine, and {seconds:g} are allowed here: {_SHORTER}"
        )


def stopped_by_time(seconds: float) -> str:
    """Return what is said of a run that was stopped after the ``seconds`` that are allowed."""
    return f"stopped: this took longer than the {seconds:g} seconds allowed here; {_SHORTER}"


def refuse_unless_free(
    device: torch.device, needed: int, asked: str, beside: str, remedies: Sequence[str]
) -> None:
    """Refuse a run that would not fit into what is free now.

    Args:
        device: where it runs.
        needed: bytes beside the models.
        asked: what needs them, such as ``500 tokens and 64 steps with bundled/target``.
        beside: what is there already, such as ``the model``.
        remedies: what would help, the best first.
    Raises: ValueError saying how much is needed, how much is free, and what would help.
    """
    free = free_memory.free_bytes(device)
    if free is None or needed <= free:
        return
    raise ValueError(
        f"{asked} need {_size(needed)} of memory beside {beside}, but {_size(max(0, free))} are "
        f"free: {', or '.join(remedies)}"
    )


@dataclass(frozen=True)
class Need:
    """Bytes for the weights, and for a trace of a text."""

    weights_bytes: int
    work: Bytes

    def total(self, tokens: int) -> int:
        """Return the bytes needed to read a text of ``tokens`` tokens."""
        return self.weights_bytes + self.work.total(tokens)


def need(
    parameters: int, config: PretrainedConfig, dtype: torch.dtype, device: torch.device
) -> Need:
    """Estimate what a model and a trace of it need where the model runs.

    Args:
        parameters: number of stored parameters.
        config: its configuration.
        dtype: format the weights are held in.
        device: where it runs.
    """
    return Need(parameters * dtype.itemsize, _places(config, dtype, device, Choices())[device])


def refuse_model_unless_fits(
    name: str, wanted: Need, free: int | None, tokens: int, dtype: torch.dtype
) -> None:
    """Refuse a model that would not fit.

    Args:
        name: of the model.
        wanted: what it needs.
        free: bytes that are free; None where that is unknown, which accepts.
        tokens: longest text it may be asked to read.
        dtype: format the weights are to be held in.
    Raises: DoesNotFit, saying how much is needed, how much is free, and what would help.
    """
    if free is None or wanted.total(tokens) <= free:
        return
    remedies = []
    if dtype.itemsize > 2:
        remedies.append("choose dtype=bfloat16, which halves the weights")
    fitting = wanted.work.most_tokens(free - wanted.weights_bytes, tokens)
    if fitting:
        remedies.append(f"allow at most {fitting} tokens (max_tokens, now {tokens})")
    remedies.append("choose a smaller model")
    raise DoesNotFit(
        f"{name} needs {_size(wanted.total(tokens))} "
        f"({_size(wanted.weights_bytes)} of weights, the rest to read {tokens} tokens), but "
        f"{_size(max(0, free))} are free: {', or '.join(remedies)}"
    )


def refuse_text_unless_fits(loaded: LoadedModel, tokens: int, choices: Choices) -> None:
    """Refuse to read a text that would not fit into what is free now, beside the model.

    Args:
        loaded: the model, which is in memory already.
        tokens: length of the text.
        choices: what the run keeps.
    Raises: ValueError naming the largest length that would fit.
    """
    config, dtype = loaded.model.config, loaded.dtype
    bare = _places(config, dtype, loaded.device, replace(choices, lens=False))
    for device, wanted in _places(config, dtype, loaded.device, choices).items():
        free = free_memory.free_bytes(device)
        if free is None or wanted.total(tokens) <= free:
            continue
        fitting = wanted.most_tokens(free, tokens)
        remedies = [f"shorten the text to at most {fitting} tokens"] if fitting else []
        if choices.lens and bare[device].total(tokens) <= free:
            remedies.append("set logit_lens=False")
        remedies.append("choose a smaller model")
        raise ValueError(
            f"reading {tokens} tokens with {loaded.name} needs {_size(wanted.total(tokens))} of "
            f"{device.type} memory beside the model, but {_size(max(0, free))} are free: "
            f"{', or '.join(remedies)}"
        )


def _places(
    config: PretrainedConfig, dtype: torch.dtype, device: torch.device, choices: Choices
) -> dict[torch.device, Bytes]:
    """What a run takes in the memory of each device; results are held in main memory."""
    sizes, main = Sizes.of(config), torch.device("cpu")
    work, result = on_device(sizes, dtype, choices, device), of_result(sizes, choices)
    return {main: work + result} if device == main else {device: work, main: result}


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
