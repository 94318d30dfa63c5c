"""How many bytes a model needs, known before a weight is read, and how many are free."""

import json
import struct
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import torch
from transformers import PretrainedConfig

from tokenarium.backend.cost.work import Bytes, Choices, Sizes, of_result, on_device
from tokenarium.backend.models.hub_cache import weight_files
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.refusal import DoesNotFit, ModelRefused


@dataclass(frozen=True)
class Need:
    """Bytes for the weights, and for a trace of a text."""

    weights_bytes: int
    work: Bytes

    def total(self, tokens: int) -> int:
        """Return the bytes needed to read a text of ``tokens`` tokens."""
        return self.weights_bytes + self.work.total(tokens)


def count_parameters(folder: Path) -> int:
    """Return the number of stored parameters, read from the headers of the safetensors files.

    Raises: ModelRefused where there is no such file, or one is damaged or cut short.
    """
    files = weight_files(folder)
    if not files:
        pickled = any(folder.glob("*.bin")) or any(folder.glob("*.pt*"))
        found = "only pickled weights, which can run code" if pickled else "no weights"
        raise ModelRefused(
            f"{folder.name} has {found}: only safetensors are read. Save the model again with "
            "save_pretrained, or choose a version that has model.safetensors"
        )
    return sum(_parameters_of(file) for file in files)


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


def refuse_unless_fits(
    name: str, wanted: Need, free: int | None, tokens: int, dtype: torch.dtype
) -> None:
    """Refuse a model that would not fit.

    Args:
        name: of the model.
        wanted: what it needs.
        free: bytes that are free; None where nobody can tell, which accepts.
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


def refuse_run_unless_fits(loaded: LoadedModel, tokens: int, choices: Choices) -> None:
    """Refuse a run that would not fit into what is free now, beside the model.

    Args:
        loaded: the model, which is in memory already.
        tokens: length of the text.
        choices: what the run keeps.
    Raises: ValueError naming the largest length that would fit.
    """
    config, dtype = loaded.model.config, loaded.dtype
    bare = _places(config, dtype, loaded.device, replace(choices, lens=False))
    for device, wanted in _places(config, dtype, loaded.device, choices).items():
        free = free_bytes(device)
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


def free_bytes(device: torch.device) -> int | None:
    """Return the memory that can still be taken on ``device``, or None where nobody can tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    limits = [_machine_free(Path("/proc/meminfo")), _container_free(Path("/sys/fs/cgroup"))]
    known = [limit for limit in limits if limit is not None]
    return min(known) if known else None


def _machine_free(table: Path) -> int | None:
    if not table.is_file():
        return None
    lines = dict(
        line.split(":", 1) for line in table.read_text(encoding="utf-8").splitlines() if ":" in line
    )
    available = lines.get("MemAvailable")
    return int(available.split()[0]) * 1024 if available else None


def _container_free(group: Path) -> int | None:
    """Return what a control group still allows; its file cache counts as free."""
    limit, used, details = (group / f"memory.{part}" for part in ("max", "current", "stat"))
    if not (limit.is_file() and used.is_file() and details.is_file()):
        return None
    if not (most := limit.read_text(encoding="utf-8").strip()).isdigit():
        return None
    counts = dict(
        line.split(maxsplit=1) for line in details.read_text(encoding="utf-8").splitlines()
    )
    cache = int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))
    return int(most) - int(used.read_text(encoding="utf-8")) + cache


def _parameters_of(file: Path) -> int:
    damaged = (
        f"{file.name} in {file.parent.name} is no whole safetensors file: download it again (a "
        "file of a few hundred bytes is a Git LFS pointer: run git lfs pull)"
    )
    if not file.is_file():
        raise ModelRefused(f"{file.name} in {file.parent.name} is missing: download it again")
    with file.open("rb") as content:
        size = file.stat().st_size
        start = content.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= size - 8:
            raise ModelRefused(damaged)
        try:
            header = json.loads(content.read(length))
        except ValueError as error:
            raise ModelRefused(damaged) from error
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if size < 8 + length + end:
        raise ModelRefused(damaged)
    return sum(prod(entry["shape"]) for entry in header.values())


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
