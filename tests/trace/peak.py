"""Trace a text of so many tokens in this process, and print bytes: the peak and the estimate."""

import json
import sys
import tempfile
from pathlib import Path

import torch

from tests.models.conftest import save_model
from tokenarium.backend.cost.fits import need
from tokenarium.backend.models.loading import load
from tokenarium.backend.models.names import ModelSource
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


def held(line: str) -> int:
    """``VmRSS``, what is held now, or ``VmHWM``, the most since the last reset."""
    fields = dict(row.split(":", 1) for row in STATUS.read_text().splitlines())
    return int(fields[line].split()[0]) * 1024


def measure(length: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        save_model(
            Path(folder),
            "llama",
            num_hidden_layers=2,
            hidden_size=16,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=length,
        )
        source = ModelSource("local/tiny", Path(folder), None, "tiny")
        loaded = load(source, "float32", "cpu", length)

    def read(count: int) -> int:
        request = TraceRequest(model="tiny", text="ab" * (count // 2), add_bos=False)
        return trace(request, loaded, length, lambda _: None, CancelToken()).length

    read(512)  # what is loaded and built once does not count
    before = held("VmRSS")
    RESET.write_text("5")
    assert read(length) == length
    work = need(0, loaded.model.config, torch.float32, loaded.device).work
    return {"peak": held("VmHWM") - before, "estimate": work.total(length)}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))  # noqa: T201
