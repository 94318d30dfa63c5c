"""What the head is trained to: the target's next-token distribution and its hidden state."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from tokenarium.backend.pretraining.draft_head.head import DraftHead
from tokenarium.backend.pretraining.draft_head.self_play import ASSISTANT, USER


@dataclass(frozen=True)
class Weighing:
    """Weights of tokens by writer, of a chain's later guesses, and of the hidden state."""

    assistant: float = 1.0
    user: float = 0.4
    forced: float = 0.15
    decay: float = 0.85
    hidden: float = 0.2
    teacher_tokens: int = 48
    share: float = 0.5  # of positions that are scored in one step


def unrolled_loss(
    head: DraftHead,
    ids: torch.Tensor,
    mode: torch.Tensor,
    hidden: torch.Tensor,
    embedding: torch.Tensor,
    rows: torch.Tensor,
    *,
    steps: int,
    skip: int,
    generator: torch.Generator,
    weighing: Weighing,
) -> tuple[torch.Tensor, list[float]]:
    """Cross-entropy to the target's likeliest tokens plus smooth L1 to its hidden state.

    Args:
        ids, mode: [B, T] tokens and who wrote them; hidden: [B, T, d] the target's states.
        embedding: [V, d]; rows: [N, d], the unembedding of the reduced vocabulary.
        skip: positions at the start that all rows share and that are not scored.
    Returns: the loss in nats, guess s weighted decay^s, and each guess's own.
    """
    weights = torch.where(mode == ASSISTANT, weighing.assistant, weighing.forced)
    weights = torch.where(mode == USER, weighing.user, weights)
    weights[:, :skip] = 0.0
    weights = functional.pad(weights[:, 2:], (0, 1))  # at p that of the token guessed, p + 2
    drawn = torch.rand(weights.shape, generator=generator, device=weights.device)
    scored = (drawn < weighing.share) & (weights > 0)
    weights, wanted = weights[scored], hidden[:, 1:][scored]
    with torch.no_grad():
        top = functional.linear(wanted, rows).float().topk(min(weighing.teacher_tokens, len(rows)))
        taught = top.values.softmax(-1)
    total, parts = torch.zeros((), device=ids.device), []
    with torch.autocast(ids.device.type, torch.bfloat16, enabled=hidden.dtype == torch.bfloat16):
        embedded = functional.embedding(ids[:, 1:], embedding)
        for step, guess in enumerate(head.unroll(hidden[:, :-1], embedded, steps)):
            near = guess[scored]
            logits = functional.linear(near.to(rows.dtype), rows).float()
            entropy = logits.logsumexp(-1) - (taught * logits.gather(1, top.indices)).sum(-1)
            part = (entropy * weights).sum() / weights.sum()
            part = part + weighing.hidden * functional.smooth_l1_loss(near.float(), wanted.float())
            total = total + weighing.decay**step * part
            parts.append(part.detach())
    return total, torch.stack(parts).tolist()
