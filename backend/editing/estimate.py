"""What editing a prompt will take, known before it starts and without a weight."""

from dataclasses import dataclass

import numpy as np
import torch

from tokenarium.backend.cache.budget import CacheSizes
from tokenarium.backend.cost.evidence import Evidence
from tokenarium.backend.cost.free_memory import free_bytes
from tokenarium.backend.cost.sketch import Sketch
from tokenarium.backend.editing.request import EditRequest
from tokenarium.backend.editing.result import EditResult
from tokenarium.backend.runs.run import Run


@dataclass(frozen=True)
class EditEstimate:
    """What Edit will take: four caches, and what the model writes."""

    prompt_tokens: int
    edited_tokens: int
    new_tokens: int
    """Tokens of the replacements."""
    spliced_tokens: int
    """Tokens that splicing reads, the prompt's last one included."""
    written_tokens: int
    """Most tokens that are written; an end-of-text token stops earlier."""
    read_tokens: int
    """Tokens that the model reads in all, at most."""
    cache_bytes: int
    """Bytes of one cache of the edited prompt with what is written."""
    held_bytes: int
    """Bytes of all caches together: that of the prompt before, and the four that are compared."""
    free_bytes: int | None
    """What is free now; None where that is unknown."""
    total_ms: float | None = None
    """From runs of this model on this machine; None where there are none."""


def estimate_run(request: EditRequest, evidence: Evidence) -> EditEstimate:
    """Return tokens, bytes and time of a run, the time from runs of this machine."""
    sketch = evidence.sketch(request)
    limit = evidence.limit_of(request, sketch)
    return estimate(
        request, sketch, limit, torch.device(evidence.device), list(evidence.measured(request))
    )


def estimate(
    request: EditRequest, sketch: Sketch, limit: int, device: torch.device, runs: list[Run]
) -> EditEstimate:
    """Return what a run will take.

    Args:
        limit: most tokens of the prompt.
        device: where it will run.
        runs: earlier ones of the same model on the same machine.
    Raises: ValueError where the text is too long.
    """
    prompt = sketch.count_within(request, limit)
    new = sum(sketch.count_plain(edit.replacement) for edit in request.edits)
    gone = sum(edit.end - edit.start for edit in request.edits)
    edited, steps = max(1, prompt - gone + new), request.max_new_tokens
    sizes = CacheSizes.read(sketch.config, getattr(torch, request.dtype), 0)
    each = sum(
        layer.kv_heads * 2 * layer.head_size * sizes.number_bytes for layer in sizes.by_layer
    )
    read = tokens_read(prompt, edited, new, steps)
    paces = [run.duration_ms / _read_by(run) for run in runs]
    return EditEstimate(
        prompt_tokens=prompt,
        edited_tokens=edited,
        new_tokens=new,
        spliced_tokens=new + 1,
        written_tokens=steps,
        read_tokens=read,
        cache_bytes=each * (edited + steps - 1),
        held_bytes=each * (2 * prompt + 3 * edited + 4 * (steps - 1)),
        free_bytes=free_bytes(device),
        total_ms=float(np.median(paces)) * read if paces else None,
    )


def tokens_read(prompt: int, edited: int, new: int, steps: int) -> int:
    """Return the tokens that the model reads in a run.

    Args:
        prompt: tokens before the edit.
        edited: after it.
        new: of the replacements.
        steps: tokens that are written.
    """
    writing = edited + steps - 1
    lanes = (edited - 1) + 2 * new + 4 * steps  # the prompt's last token, and what was written
    return prompt + writing + lanes


def _read_by(run: Run) -> int:
    """Return the tokens that the model read in an earlier run."""
    result = run.result
    assert isinstance(result, EditResult)
    new = int((result.origin < 0).sum())
    return tokens_read(len(result.prompt_ids), len(result.edited_ids), new, len(result.token_ids))
