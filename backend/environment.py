"""What a measurement depends on besides its request: code, machine, libraries."""

import functools
import os
import platform
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from tokenarium.backend.settings import PROJECT, SPACE_DISK, Settings

_LIBRARIES = ("torch", "transformers", "numpy")


class StartUpError(RuntimeError):
    """The application cannot start here; the message says what to change."""


def refuse_taken_port(settings: Settings) -> None:
    """Raise if another program listens on the port, which a server would only say in passing."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise StartUpError(
                f"host={settings.host} port={settings.port} cannot be listened on "
                f"({error.strerror}): choose another with --port, or PORT= for make app"
            ) from error


@functools.cache
def project_version() -> str:
    """Return the version of this project, also where it runs unpackaged."""
    declared = PROJECT / "pyproject.toml"
    if not declared.is_file():
        return metadata.version("tokenarium")
    with declared.open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


@functools.cache
def commit() -> str:
    """Return the commit of this checkout, or the version where there is no checkout."""
    git = shutil.which("git")
    if git and (PROJECT / ".git").exists():
        done = subprocess.run(  # noqa: S603
            [git, "-C", str(PROJECT), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return f"version {project_version()}"


@functools.cache
def versions() -> dict[str, str]:
    """Return versions of this project, Python and the libraries that decide numbers."""
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"tokenarium": project_version(), "python": platform.python_version(), **libraries}


@functools.cache
def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def device_kind(wanted: str) -> str:
    """Return cpu, cuda or mps; for ``auto`` the best there is, which imports torch."""
    if wanted != "auto":
        return wanted
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def device_name(kind: str) -> str:
    """Return the name of the processor or GPU that ``kind`` stands for."""
    if kind != "cuda":
        return processor()
    import torch

    return str(torch.cuda.get_device_name())


def describe(device: str, dtype: str, fingerprint: str) -> dict[str, Any]:
    """Return what is stored with a run; called after its computation, when torch is loaded.

    ``attention_statistics`` is the code that computed them.

    Args:
        device: cpu, cuda or mps.
        dtype: number format of the weights.
        fingerprint: of model and tokenizer; of several models, with spaces between.
    """
    import torch

    from tokenarium.kernels.attention_stats import implementation

    return {
        "attention_statistics": implementation(torch.device(device))[0],
        "commit": commit(),
        "device": device,
        "device_name": device_name(device),
        "dtype": dtype,
        "fingerprint": fingerprint,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def timing_identity(device: str) -> list[str]:
    """Return what a timing depends on: the machine and the versions."""
    kind = device_kind(device)
    return [kind, device_name(kind), *(f"{name} {v}" for name, v in sorted(versions().items()))]


def storage_note(settings: Settings) -> str:
    """Return one sentence on how long stored runs last, or nothing where they simply stay."""
    if ":memory:" in settings.database or settings.database.rstrip("/") == "duckdb:":
        return "Runs are kept in memory only and are gone when the application stops."
    scheme, _, file = settings.database.partition("///")
    on_a_space = bool(os.environ.get("SPACE_ID"))
    local = bool(file) and not scheme.startswith("postgresql")
    lasting = [SPACE_DISK, *([settings.data_dir.resolve()] if settings.data_dir else [])]
    path = Path(file).resolve()
    if on_a_space and local and not any(path.is_relative_to(folder) for folder in lasting):
        return "This Space has no lasting disk: stored runs are gone when it restarts."
    return ""


def measured_here(environment: Mapping[str, Any], settings: Settings) -> bool:
    """Return whether a run's times are those of this machine: its device, and what that is."""
    kind = device_kind(settings.device)
    here = {"device": kind, "device_name": device_name(kind)}
    return all(environment.get(name) == value for name, value in here.items())
