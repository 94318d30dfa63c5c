"""Chats the target writes with itself: the text whose hidden states the head learns from.

All rows begin alike and are written side by side, so there is no padding. The user's turns are
sampled, the assistant's are greedy or sampled, as rows are drawn.
"""

from dataclasses import dataclass

import numpy as np
import torch

from tokenarium.backend.pretraining.draft_head.ragged import Prompts
from tokenarium.backend.pretraining.draft_head.target import Target

FORCED, USER, ASSISTANT = 0, 1, 2


@dataclass(frozen=True)
class Settings:
    """How chats are drawn. ``opened`` is the share of rows that begin with given words."""

    opened: float = 0.7
    greedy: float = 0.65
    user_temperature: float = 0.9
    answer_temperature: float = 0.7
    min_p: float = 0.05
    user_tokens: int = 120
    answer_tokens: int = 260


def pick(
    logits: torch.Tensor, temperature: torch.Tensor, min_p: float, generator: torch.Generator
) -> torch.Tensor:
    """Sample [B] tokens from logits [B, V] at temperatures [B]; 0 is the argmax.

    Tokens under ``min_p`` times the likeliest one's probability are left out (Nguyen et al., 2024,
    arXiv:2407.01082); the draw is an argmax over Gumbel noise.
    """
    warmth = temperature[:, None]
    floor = logits.amax(-1, keepdim=True) + warmth * float(np.log(min_p))
    noise = torch.empty_like(logits).exponential_(generator=generator).log_().neg_()
    return torch.where(logits >= floor, logits + warmth * noise, -torch.inf).argmax(-1)


class _Turns:
    """Whose turn it is in each row, and the tokens that must come next."""

    def __init__(
        self, prompts: Prompts, settings: Settings, scripts: list[list[int]], device: str
    ) -> None:
        self.settings, self.end, rows = settings, prompts.end, len(scripts)
        room = max(1, *map(len, scripts), len(prompts.to_assistant), len(prompts.to_user))

        def table(lists: list[list[int]]) -> torch.Tensor:
            return torch.tensor([x + [prompts.end] * (room - len(x)) for x in lists], device=device)

        self.script, self.between = table(scripts), table([prompts.to_assistant, prompts.to_user])
        self.lengths = torch.tensor(
            [len(prompts.to_assistant), len(prompts.to_user)], device=device
        )
        self.left = torch.tensor([len(x) for x in scripts], device=device)
        self.length = self.left.clone()
        self.answers = torch.zeros(rows, dtype=torch.long, device=device)  # 1 while answering
        self.spoken = torch.zeros(rows, dtype=torch.long, device=device)

    def advance(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take the tokens [B] the model chose; return those written and who wrote each."""
        forced = self.left > 0
        place = (self.length - self.left).clamp(max=self.script.shape[1] - 1)
        token = torch.where(forced, self.script.gather(1, place[:, None])[:, 0], chosen)
        limits = self.settings.user_tokens, self.settings.answer_tokens
        limit = torch.where(self.answers == 1, limits[1], limits[0])
        over = ~forced & (self.spoken >= limit)
        token = torch.where(over, self.end, token)
        mode = torch.where(forced | over, FORCED, USER + self.answers)
        # An end of turn inside what stands between turns belongs to no turn: none does here.
        ends = token == self.end
        self.spoken = torch.where(forced | ends, 0, self.spoken + 1)
        self.left = torch.where(forced, self.left - 1, self.left)
        self.script = torch.where(ends[:, None], self.between[self.answers], self.script)
        self.length = torch.where(ends, self.lengths[self.answers], self.length)
        self.left = torch.where(ends, self.length, self.left)
        self.answers = torch.where(ends, 1 - self.answers, self.answers)
        return token, mode


@torch.inference_mode()
def play(
    target: Target, prompts: Prompts, rows: int, length: int, seed: int, settings: Settings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write ``rows`` chats of ``length`` tokens; a function of the seed.

    Returns: ids [rows, length] and who wrote each token (FORCED, USER or ASSISTANT), on the CPU.
    Raises: ValueError if the prefix leaves no room.
    """
    start, device = len(prompts.prefix), str(target.device)
    if length <= start:
        raise ValueError(
            f"length={length} leaves no room after {start} tokens of prefix: "
            f"take {start + 1} or more"
        )
    drawn = np.random.default_rng(seed)
    scripts: list[list[int]] = [[] for _ in range(rows)]
    for row in range(rows):
        if prompts.openings and drawn.random() < settings.opened:
            opening = prompts.openings[drawn.integers(len(prompts.openings))]
            scripts[row] = opening[: length - start]
    greedy = torch.from_numpy(drawn.random(rows) < settings.greedy).to(device)
    answering = torch.where(greedy, 0.0, settings.answer_temperature)
    generator = torch.Generator(device).manual_seed(seed)
    turns = _Turns(prompts, settings, scripts, device)
    ids = torch.zeros(rows, length, dtype=torch.long, device=device)
    mode = torch.zeros(rows, length, dtype=torch.long, device=device)
    ids[:, :start] = torch.tensor(prompts.prefix, device=device)
    cache = target.new_cache(rows, length)
    first = target.new_cache(1, start)
    hidden = target.read(ids[:1, :start], first)[:, -1].expand(rows, -1)
    for large, small in zip(cache.keys + cache.values, first.keys + first.values, strict=True):
        large[:, :, :start] = small
    for place in range(start, length):
        warmth = torch.where(turns.answers == 1, answering, settings.user_temperature)
        chosen = pick(target.logits(hidden), warmth, settings.min_p, generator)
        ids[:, place], mode[:, place] = turns.advance(chosen)
        if place + 1 < length:
            hidden = target.step(ids[:, place], cache, place)
    return ids.cpu(), mode.cpu()


@torch.inference_mode()
def answer(target: Target, prompts: list[list[int]], tokens: int, end: int) -> list[list[int]]:
    """Greedy answers of the target, at most ``tokens`` long, each with its end of turn if any."""
    lengths = torch.tensor([len(ids) for ids in prompts], device=target.device)
    cache = target.new_cache(len(prompts), int(lengths.max()) + tokens)
    hidden = torch.cat(
        [
            target.read(torch.tensor([ids], device=target.device), cache.row(row))[:, -1]
            for row, ids in enumerate(prompts)
        ]
    )
    written = []
    for place in range(tokens):
        written.append(target.logits(hidden).argmax(-1))
        if place + 1 < tokens:
            hidden = target.step(written[-1], cache, lengths + place)
    answers = torch.stack(written, 1).tolist()
    return [ids[: ids.index(end) + 1] if end in ids else ids for ids in answers]
