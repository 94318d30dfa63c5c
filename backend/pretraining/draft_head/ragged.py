"""Lists of token ids of unlike lengths, kept in one file that reads without pickle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Prompts:
    """What self-play begins with, as token ids, so that generating needs no tokenizer.

    ``prefix`` is everything up to the user's first word; ``to_assistant`` and ``to_user`` are what
    stands between an end of turn and the next turn's first word; ``openings`` are the user's
    first words, whole turns where they end with ``end``.
    """

    prefix: list[int]
    to_assistant: list[int]
    to_user: list[int]
    end: int
    openings: list[list[int]]

    def save(self, path: Path) -> None:
        lists = [self.prefix, self.to_assistant, self.to_user, [self.end], *self.openings]
        _write(path, lists, [""] * len(lists))

    @classmethod
    def load(cls, path: Path) -> "Prompts":
        lists, _ = _read(path)
        return cls(lists[0], lists[1], lists[2], lists[3][0], lists[4:])


@dataclass(frozen=True)
class HeldOut:
    """One chat that training never sees: its kind, the prompt, and the target's own answer."""

    kind: str
    prompt: list[int]
    answer: list[int]


def save_held_out(path: Path, rows: Sequence[HeldOut]) -> None:
    _write(path, [ids for row in rows for ids in (row.prompt, row.answer)], [r.kind for r in rows])


def load_held_out(path: Path) -> list[HeldOut]:
    lists, kinds = _read(path)
    return [
        HeldOut(kind, prompt, answer)
        for kind, prompt, answer in zip(kinds, lists[::2], lists[1::2], strict=True)
    ]


def _write(path: Path, lists: Sequence[Sequence[int]], kinds: Sequence[str]) -> None:
    flat = np.asarray([token for ids in lists for token in ids], np.int32)
    np.savez_compressed(
        path, ids=flat, lengths=np.asarray([len(x) for x in lists], np.int32), kinds=np.array(kinds)
    )


def _read(path: Path) -> tuple[list[list[int]], list[str]]:
    with np.load(path) as file:
        ends = np.cumsum(file["lengths"])
        lists = [part.tolist() for part in np.split(file["ids"], ends[:-1])]
        return lists, file["kinds"].tolist()
