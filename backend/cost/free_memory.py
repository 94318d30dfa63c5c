"""How many weights a model has, known before one is read, and how many bytes are free."""

from pathlib import Path

import torch

from tokenarium.backend.models.files import count_stored, weight_files
from tokenarium.backend.models.refusal import ModelRefused


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
    return sum(count_stored(file) for file in files)


def free_bytes(device: torch.device) -> int | None:
    """Return the memory that can still be taken on ``device``, or None where that is unknown."""
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
