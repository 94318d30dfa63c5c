"""Training of an adapter: text that the target wrote, a closed-form start, then its own choices."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from tokenarium.backend.pretraining.adapter.adapter import Adapter, AdapterShape
from tokenarium.backend.pretraining.draft_head.start import ridge
from tokenarium.backend.pretraining.draft_head.target import Target

Read = tuple[torch.Tensor, torch.Tensor]
"""Residuals after an adapter's layers and last states of some texts, [B, T, d] each."""
TEACHER_TOKENS = 48
"""Of the target's likeliest tokens, those that the adapter learns the probabilities of."""


@dataclass(frozen=True)
class AdapterPlan:
    """How an adapter is trained; ``passes`` counts tokens, repeats included."""

    passes: int = 600_000
    batch: int = 8
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    share: float = 0.5
    """Of positions that are scored in one step."""
    seed: int = 0
    gate_passes: int = 100_000
    """After how many the gate asks whether to go on."""


@dataclass(frozen=True)
class Judged:
    """What an adapter says of text that it was not trained on."""

    match: float
    """Share of tokens at which its first choice is the target's."""
    overlap: float
    """Mean sum of the smaller of both probabilities: how much of a drawn token is accepted."""


def shape_of(target: Target, layers: int, heads: int, groups: int) -> AdapterShape:
    """Return the sizes of an adapter after the first ``layers`` of a target.

    Raises:
        ValueError: if the target has not more layers, or heads are not a multiple of groups.
    """
    if not 0 < layers < target.layers:
        raise ValueError(f"layers={layers} is not between 1 and {target.layers - 1}: choose one")
    if heads < 1 or groups < 1 or heads % groups:
        raise ValueError(f"heads={heads} is no multiple of groups={groups}: change either")
    return AdapterShape(
        layers,
        target.width,
        heads,
        groups,
        target.size,
        target.eps,
        max_position_embeddings=int(target.config["max_position_embeddings"]),
    )


@torch.no_grad()
def closed_form(adapter: Adapter, target: Target, read: Sequence[Read]) -> None:
    """Set ``fc`` to the best linear guess of the last state, and the attention's output to zero.

    Args:
        read: residuals after the adapter's layers and last states of texts, [B, T, d] each.
    """
    gain = target.norm.float()

    def pairs() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for residual, hidden in read:
            x = adapter.normed(residual, adapter.first_norm)
            yield x.flatten(0, 1), (hidden.float() / gain).flatten(0, 1)

    adapter.fc.weight.copy_(ridge(pairs(), 1e-3))
    adapter.norm.copy_(gain)
    adapter.out.weight.zero_()


def train(
    adapter: Adapter,
    target: Target,
    read: Sequence[Read],
    plan: AdapterPlan,
    log: Callable[[dict[str, float]], None] = lambda _: None,
    *,
    checkpoint: Path | None = None,
    gate: Callable[[], None] = lambda: None,
) -> None:
    """Train an adapter to the target's distribution at every token.

    Args:
        read: as of ``closed_form``.
        log: is told the loss in nats now and then.
        checkpoint: a file that is written where the log is told; a training that finds it goes on
            from there, to the same weights as one that was never interrupted.
        gate: called once after ``plan.gate_passes``; raises to stop there.

    Raises:
        ValueError: if the checkpoint is of another plan or other texts.
    """
    rows = [
        (shard, row) for shard, (residual, _) in enumerate(read) for row in range(len(residual))
    ]
    length = read[0][0].shape[1]
    steps = max(1, plan.passes // (plan.batch * length))
    draw = torch.Generator().manual_seed(plan.seed)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in adapter.parameters() if p.ndim > 1]},
        {"params": [p for p in adapter.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(
        groups, lr=plan.lr, betas=(0.9, 0.95), weight_decay=plan.weight_decay
    )
    warm = max(1, round(plan.warmup * steps))
    began, lost, first = time.monotonic(), 0.0, 0
    made_with = {**vars(plan), "texts": len(rows), "length": length}
    if checkpoint is not None and checkpoint.is_file():
        first, lost = _resume(checkpoint, made_with, adapter, optimiser, draw)
    gate_step = min(steps, -(-plan.gate_passes // (plan.batch * length)))
    if first == gate_step:
        gate()  # what refused it once is asked again
    for step in range(first, steps):
        rate = min(1.0, (step + 1) / warm) * (1 - step / steps)
        for group in optimiser.param_groups:
            group["lr"] = plan.lr * rate
        picked = [
            rows[int(torch.randint(len(rows), (1,), generator=draw))] for _ in range(plan.batch)
        ]
        residual, hidden = (
            torch.stack([read[shard][side][row] for shard, row in picked]) for side in (0, 1)
        )
        scored = torch.rand(residual.shape[:2], generator=draw) < plan.share
        loss = _loss(adapter, target, residual, hidden, scored.to(residual.device))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimiser.step()
        lost += float(loss.detach())
        if (step + 1) % 20 == 0 or step + 1 == steps:
            since = step % 20 + 1
            log({"step": step + 1, "loss": lost / since, "seconds": time.monotonic() - began})
            lost = 0.0
            if checkpoint is not None:
                _save(checkpoint, made_with, (step + 1, lost), adapter, optimiser, draw)
        if step + 1 == gate_step:
            if checkpoint is not None:
                _save(checkpoint, made_with, (step + 1, lost), adapter, optimiser, draw)
            gate()


def _save(
    path: Path,
    made_with: dict[str, Any],
    done: tuple[int, float],
    adapter: Adapter,
    optimiser: torch.optim.Optimizer,
    draw: torch.Generator,
) -> None:
    """Write under another name first, so that an interruption leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {
        "made_with": made_with,
        "done": done,
        "adapter": adapter.state_dict(),
        "optimiser": optimiser.state_dict(),
        "draw": draw.get_state(),
    }
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path,
    made_with: dict[str, Any],
    adapter: Adapter,
    optimiser: torch.optim.Optimizer,
    draw: torch.Generator,
) -> tuple[int, float]:
    """Take a training up again; return how many steps are done, and the loss not yet told."""
    state = torch.load(path, weights_only=True)
    apart = [name for name, value in made_with.items() if state["made_with"].get(name) != value]
    if apart:
        raise ValueError(
            f"{path} was made with another {', '.join(apart)}: take the settings it was made with, "
            "or another folder"
        )
    adapter.load_state_dict(state["adapter"])
    optimiser.load_state_dict(state["optimiser"])
    draw.set_state(state["draw"])
    step, lost = state["done"]
    return int(step), float(lost)


def _loss(
    adapter: Adapter,
    target: Target,
    residual: torch.Tensor,
    hidden: torch.Tensor,
    scored: torch.Tensor,
) -> torch.Tensor:
    """Return the cross-entropy to the target's likeliest tokens, in nats."""
    with torch.no_grad():
        top = target.logits(hidden[scored]).topk(min(TEACHER_TOKENS, target.vocab_size))
        taught = top.values.softmax(-1)
    low = target.dtype == torch.bfloat16
    with torch.autocast(target.device.type, torch.bfloat16, enabled=low):
        guess = adapter(residual)[scored]
        logits = functional.linear(guess.to(target.dtype), target.unembedding).float()
    return (logits.logsumexp(-1) - (taught * logits.gather(1, top.indices)).sum(-1)).mean()


@torch.inference_mode()
def judge(adapter: Adapter, target: Target, read: Sequence[Read]) -> Judged:
    """Compare an adapter with its target at every token of texts; ``read`` as of ``train``."""
    match = overlap = count = 0.0
    for residual, hidden in read:
        for one, whole in zip(residual.split(8), hidden.split(8), strict=True):
            own = target.logits(whole)
            said = target.logits(adapter(one).to(target.dtype))
            match += float((own.argmax(-1) == said.argmax(-1)).sum())
            overlap += float(torch.minimum(own.softmax(-1), said.softmax(-1)).sum())
            count += own[..., 0].numel()
    return Judged(match / count, overlap / count)
