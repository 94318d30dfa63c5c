"""How well the head guesses on chats it never saw, counted by round as a run would count.

A round begins after the last accepted token, the drafter guesses a few, the answer's own next
tokens are the verdict (greedy decoding), and the next round begins after the accepted ones and the
one token the target adds. Counting at every position instead flatters a lookup: a loop it copies
is counted at each of its tokens, while a run jumps over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from tokenarium.backend.pretraining.draft_head.head import DraftHead
from tokenarium.backend.pretraining.draft_head.ragged import HeldOut
from tokenarium.backend.pretraining.draft_head.target import Target

DRAFTERS = ("head", "lookup", "lookup_else_head")


@dataclass(frozen=True)
class Rounds:
    """Rounds of one drafter over one answer.

    ``accepted`` [R] counts the guesses accepted per round, ``guessed`` [R] those made; ``tokens``
    is what the rounds wrote, the target's own token of each round included.
    """

    accepted: NDArray[np.int64]
    guessed: NDArray[np.int64]
    tokens: int


def copies(ids: Sequence[int], longest: int, length: int) -> list[list[int]]:
    """Per place p what prompt lookup guesses after ids[:p + 1]; empty where nothing is found.

    It copies what followed the most recent earlier copy of the longest ending: after 1,2,3,4,2,3
    it guesses 4,2,3. A copy that reaches the end of the text goes on with what it copied.
    """
    after: list[dict[tuple[int, ...], int]] = [{} for _ in range(longest + 1)]
    found: list[list[int]] = []
    for known in range(1, len(ids) + 1):
        place = 0
        for size in range(min(longest, known), 0, -1):
            ending = tuple(ids[known - size : known])
            place = place or after[size].get(ending, 0)
            after[size][ending] = known
        period = known - place
        found.append([ids[place + step % period] for step in range(length)] if place else [])
    return found


@torch.inference_mode()
def guesses(
    head: DraftHead,
    target: Target,
    vocabulary: torch.Tensor,
    ids: list[int],
    hidden: torch.Tensor,
    steps: int,
) -> NDArray[np.int64]:
    """Tokens the head guesses, [steps, T]: at (s, p) its guess for p + s + 1, p the last known.

    ``hidden`` [T, d] are the target's states of ``ids``. A guess is exact for a round that begins
    at p as far as the guesses before it were right.
    """
    row = torch.tensor([ids], device=target.device)
    rows = target.unembedding[vocabulary]
    found = np.full((steps, len(ids)), -1, np.int64)
    with torch.autocast(row.device.type, torch.bfloat16, enabled=target.dtype == torch.bfloat16):
        embedded = functional.embedding(row[:, 1:], target.embedding)
        for step, state in enumerate(head.unroll(hidden[None, :-1], embedded, steps)):
            best = functional.linear(state[0].to(rows.dtype), rows).argmax(-1)
            tokens = vocabulary[best].cpu().numpy()
            # A round with p the last known token guesses p + s + 1 from place p + s - 1.
            found[step, 1 : len(ids) - step] = tokens[step:]
    return found


def rounds(
    answer_from: int,
    ids: list[int],
    drafter: str,
    guessed: NDArray[np.int64],
    copied: Sequence[list[int]],
) -> Rounds:
    """Go over the answer ids[answer_from:] round by round with one drafter.

    ``guessed`` [S, T] and ``copied`` are the guesses of ``guesses`` and ``copies`` at each place.
    """
    accepted, made, place = [], [], answer_from
    steps = len(guessed)
    while place + 1 < len(ids):  # place: the last known token
        draft: list[int] = []
        if drafter != "head":
            draft = copied[place][:steps]
        if drafter == "head" or (drafter == "lookup_else_head" and not draft):
            draft = guessed[:, place].tolist()
        right, rest = 0, ids[place + 1 :]
        while right < min(len(draft), len(rest)) and draft[right] == rest[right]:
            right += 1
        accepted.append(right)
        made.append(len(draft))
        place += right + 1
    written = min(place, len(ids) - 1) - answer_from
    return Rounds(np.asarray(accepted, np.int64), np.asarray(made, np.int64), written)


@dataclass(frozen=True)
class Judged:
    """One held-out chat: matches by position and rounds by drafter and draft length."""

    kind: str
    reached: NDArray[np.int64]  # [steps] positions where every earlier guess was right
    matched: NDArray[np.int64]  # [steps] of those, where this one is
    coverage: float  # share of the answer's tokens in the reduced vocabulary
    rounds: dict[tuple[str, int], Rounds]


class Judge:
    """Held-out chats with the target's states of them, read once."""

    def __init__(self, target: Target, held_out: Sequence[HeldOut], longest: int = 3) -> None:
        self.target, self.longest = target, longest
        self.chats = [chat for chat in held_out if len(chat.answer) > 1]
        if not self.chats:
            raise ValueError("no held-out chat has an answer of two tokens: add chats")
        self._hidden: list[torch.Tensor] = []

    def judge(self, head: DraftHead, vocabulary: torch.Tensor, steps: int = 4) -> list["Judged"]:
        """Matches and rounds of the head, of prompt lookup and of both on every chat."""
        known, found = set(vocabulary.tolist()), []
        for index, chat in enumerate(self.chats):
            ids, start = chat.prompt + chat.answer, len(chat.prompt)
            if index == len(self._hidden):
                row = torch.tensor([ids], device=self.target.device)
                self._hidden.append(self.target.read(row)[0])
            guessed = guesses(head, self.target, vocabulary, ids, self._hidden[index], steps)
            copied = copies(ids, self.longest, steps)
            reached, matched = by_position(guessed, ids, start)
            by_drafter = {
                (drafter, length): rounds(start, ids, drafter, guessed[:length], copied)
                for drafter in DRAFTERS
                for length in range(1, steps + 1)
            }
            covered = float(np.mean([token in known for token in chat.answer]))
            found.append(Judged(chat.kind, reached, matched, covered, by_drafter))
        return found


def by_position(
    guessed: NDArray[np.int64], ids: list[int], start: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per guess, positions from the answer's first token on that it was reached and right at."""
    steps, text = len(guessed), np.asarray(ids)
    places = np.arange(start, len(ids) - steps)
    alive = np.ones(len(places), bool)
    reached, matched = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
    for step in range(steps):
        reached[step] = alive.sum()
        alive &= guessed[step, places] == text[places + step + 1]
        matched[step] = alive.sum()
    return reached, matched


def summary(judged: Sequence[Judged], *, draws: int = 2000, seed: int = 0) -> dict[str, object]:
    """Everything reported: matches, tokens per pass by drafter with 95 % intervals, by kind.

    ``tokens_per_pass`` is tokens / rounds (1 is autoregressive decoding), ``mean_accepted`` is
    accepted guesses / rounds. Intervals are bootstrap percentiles over prompts; ``over_lookup`` is
    the ratio of tokens per pass of lookup_else_head to lookup, drawn in pairs.
    """
    kinds = sorted({one.kind for one in judged})
    steps = len(judged[0].reached)
    reached, matched = (
        np.sum([getattr(one, name) for one in judged], 0) for name in ("reached", "matched")
    )
    picks = np.random.default_rng(seed).integers(0, len(judged), (draws, len(judged)))
    found: dict[str, object] = {
        "prompts": len(judged),
        "positions": int(reached[0]),
        "conditional_match": _share(matched, reached),
        "first_match_interval": _interval(
            _table(judged, "matched")[picks].sum(1)
            / np.maximum(1, _table(judged, "reached")[picks].sum(1))
        ),
        "mean_accepted_by_position": round(float(matched.sum() / max(1, reached[0])), 4),
        "coverage": round(float(np.mean([one.coverage for one in judged])), 4),
    }
    for length in range(1, steps + 1):
        found[f"draft_len_{length}"] = _by_drafter(judged, kinds, length, picks)
    return found


def _by_drafter(
    judged: Sequence[Judged], kinds: list[str], length: int, picks: NDArray[np.int64]
) -> dict[str, object]:
    found: dict[str, object] = {}
    drawn = {}
    for drafter in DRAFTERS:
        runs = [one.rounds[drafter, length] for one in judged]
        table = np.asarray(
            [(run.tokens, len(run.accepted), run.accepted.sum(), run.guessed.sum()) for run in runs]
        )
        tokens, passes, accepted, guessed = table.sum(0)
        drawn[drafter] = table[picks, 0].sum(1) / table[picks, 1].sum(1)
        member = np.asarray([[one.kind == kind for one in judged] for kind in kinds])
        found[drafter] = {
            "tokens_per_pass": round(float(tokens / passes), 4),
            "interval": _interval(drawn[drafter]),
            "mean_accepted": round(float(accepted / passes), 4),
            "acceptance_rate": round(float(accepted / max(1, guessed)), 4),
            "by_kind": {
                kind: round(float(table[row, 0].sum() / table[row, 1].sum()), 3)
                for kind, row in zip(kinds, member, strict=True)
            },
        }
    ratio = drawn["lookup_else_head"] / drawn["lookup"]
    found["over_lookup"] = {
        "median": round(float(np.median(ratio)), 4),
        "interval": _interval(ratio),
    }
    return found


def _table(judged: Sequence[Judged], name: str) -> NDArray[np.int64]:
    return np.asarray([getattr(one, name)[0] for one in judged])


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> list[float]:
    return [round(float(a / max(1, b)), 4) for a, b in zip(part, whole, strict=True)]


def _interval(values: NDArray[np.float64]) -> list[float]:
    return [round(float(x), 4) for x in np.quantile(values, [0.025, 0.975])]
