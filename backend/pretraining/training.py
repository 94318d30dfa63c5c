"""The training loop: data-parallel over single-threaded processes, resumable at any step."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional
from transformers import LlamaForCausalLM

from tokenarium.backend.pretraining.corpus import Windows
from tokenarium.backend.pretraining.schedule import Schedule


@dataclass
class Progress:
    """What a checkpoint remembers beside the weights and the optimiser state."""

    step: int = 0
    tokens: int = 0
    window: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0


def next_token_loss(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats of tokens 1..T-1 of ``ids`` [B, T]."""
    with torch.autocast(ids.device.type, torch.bfloat16):
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.lm_head(hidden[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


def _average_gradients(model: nn.Module) -> None:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, piece in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(piece.view_as(gradient))


def train(
    model: LlamaForCausalLM,
    optimisers: list[torch.optim.Optimizer],
    windows: Callable[[int], Windows],
    schedule: Schedule,
    progress: Progress,
    *,
    length: int,
    batch: int,
    micro_batch: int,
    minutes: float,
    log: Callable[[dict[str, float]], None],
    every: int = 50,
    loss_of: Callable[[LlamaForCausalLM, torch.Tensor], torch.Tensor] = next_token_loss,
) -> None:
    """Train until the schedule is finished or the time is up; mutate model and progress.

    Args:
        windows: returns the data cut to a window length.
        length: tokens per window, BOS included.
        batch: windows per step over all processes; split evenly.
        micro_batch: windows per forward pass of one process.
        minutes: wall-clock limit of this call.
        log: receives step, tokens, loss and tokens per second every ``every`` steps.
    Raises: ValueError if the batch does not divide over processes and micro-batches.
    """
    world = dist.get_world_size() if dist.is_initialized() else 1
    rank = dist.get_rank() if dist.is_initialized() else 0
    if batch % (world * micro_batch):
        raise ValueError(
            f"batch={batch} is no multiple of {world} processes x {micro_batch} windows: "
            f"take a multiple of {world * micro_batch}"
        )
    data, share = windows(length), batch // world
    base = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    device = next(model.parameters()).device
    start, losses, began, at = time.monotonic(), [], time.monotonic(), progress.tokens
    model.train()
    try:
        while not schedule.finished(progress.tokens):
            stop = torch.tensor(float(time.monotonic() - start > minutes * 60))
            if world > 1:
                dist.all_reduce(stop)
            if stop:
                break
            first = progress.window.get(length, 0) + rank * share
            total = 0.0
            for offset in range(0, share, micro_batch):
                ids = data.batch(first + offset, micro_batch).to(device)
                loss = loss_of(model, ids) * (micro_batch / share)
                loss.backward()
                total += loss.item()
            if world > 1:
                _average_gradients(model)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            factor = schedule.factor(progress.tokens)
            for optimiser, rates in zip(optimisers, base, strict=True):
                for group, rate in zip(optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            progress.window[length] = progress.window.get(length, 0) + batch
            progress.tokens += batch * length
            progress.step += 1
            losses.append(total)
            if progress.step % every == 0:
                now = time.monotonic()
                log(
                    {
                        "step": progress.step,
                        "tokens": progress.tokens,
                        "loss_nats": sum(losses) / len(losses),
                        "tokens_per_s": (progress.tokens - at) / (now - began),
                    }
                )
                losses, began, at = [], time.monotonic(), progress.tokens
    finally:
        progress.seconds += time.monotonic() - start
        for optimiser, rates in zip(optimisers, base, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate


def save_checkpoint(
    folder: Path,
    model: LlamaForCausalLM,
    optimisers: list[torch.optim.Optimizer],
    progress: Progress,
) -> None:
    """Write weights (float32), optimiser state and progress; replace the old file in one move."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "progress": vars(progress),
    }
    partial = folder / "checkpoint.partial"
    torch.save(state, partial)
    partial.replace(folder / "checkpoint.pt")


def load_checkpoint(
    folder: Path, model: LlamaForCausalLM, optimisers: list[torch.optim.Optimizer]
) -> Progress:
    """Restore what ``save_checkpoint`` wrote; a folder without one starts from zero."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return Progress()
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return Progress(**state["progress"])


def append_json_line(path: Path, row: dict[str, object]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
