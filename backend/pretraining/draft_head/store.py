"""Self-play kept as files of token ids; hidden states are read again, not stored.

Reading a text is several times cheaper than writing it and 1,152 bytes a token of SmolLM2-135M
stay off the disk. A run that is taken up again reads the same states, because every shard is read
in the same batches.
"""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tokenarium.backend.pretraining.draft_head.ragged import Prompts
from tokenarium.backend.pretraining.draft_head.self_play import FORCED, Settings, play
from tokenarium.backend.pretraining.draft_head.target import Target

READ_ROWS = 64


class Store:
    """Shards of self-play in a folder, with their hidden states in the target's memory.

    Shard n is a function of ``seed`` and n: what is missing is generated, what is there is read.
    """

    def __init__(
        self, folder: Path, target: Target, prompts: Prompts, rows: int, length: int, seed: int
    ) -> None:
        self.folder, self.target, self.prompts = folder, target, prompts
        self.rows, self.length, self.seed = rows, length, seed
        self.ids: list[torch.Tensor] = []  # each [rows, length], on the device
        self.mode: list[torch.Tensor] = []
        self.hidden: list[torch.Tensor] = []  # each [rows, length, d]
        self.generated_tokens = 0

    @property
    def tokens(self) -> int:
        return len(self.ids) * self.rows * self.length

    def add(self) -> None:
        """Generate or read the next shard, and read its hidden states."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = len(self.ids)
        path = self.folder / f"{number:04d}.safetensors"
        if not path.exists():
            ids, mode = play(
                self.target, self.prompts, self.rows, self.length, self.seed + number, Settings()
            )
            partial = path.with_suffix(".partial")
            save_file({"ids": ids.int(), "mode": mode.to(torch.int8)}, partial)
            partial.replace(path)
            self.generated_tokens += ids.numel()
        tensors = load_file(path)
        if tensors["ids"].shape != (self.rows, self.length):
            raise ValueError(
                f"{path.name} holds {tuple(tensors['ids'].shape)}, not rows={self.rows} x "
                f"length={self.length}: take the settings it was made with, or another folder"
            )
        ids = tensors["ids"].long().to(self.target.device)
        self.ids.append(ids)
        self.mode.append(tensors["mode"].long().to(self.target.device))
        self.hidden.append(torch.cat([self.target.read(part) for part in ids.split(READ_ROWS)]))

    def batch(self, start: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Rows ``start`` to ``start + size - 1`` of an endless shuffle: ids, mode, hidden."""
        count = len(self.ids) * self.rows
        picked = []
        for index in range(start, start + size):
            epoch, place = divmod(index, count)
            picked.append(divmod(int(self._order(epoch, count)[place]), self.rows))
        return (
            torch.stack([self.ids[shard][row] for shard, row in picked]),
            torch.stack([self.mode[shard][row] for shard, row in picked]),
            torch.stack([self.hidden[shard][row] for shard, row in picked]),
        )

    def _order(self, epoch: int, count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        if getattr(self, "_ordered", None) != (epoch, count):
            self._ordered = epoch, count
            self._permutation = np.random.default_rng([self.seed, epoch]).permutation(count)
        return self._permutation


def reduced_vocabulary(store: Store, size: int) -> torch.Tensor:
    """The ``size`` ids [N] that the target wrote most, ascending; forced tokens do not count.

    Ties and tokens never seen go by id: byte-pair merges come in order of frequency.
    """
    count = store.target.vocab_size
    if not 0 < size <= count:
        raise ValueError(f"vocabulary={size} is outside 1..{count}: choose one inside")
    total = torch.zeros(count, dtype=torch.float64, device=store.target.device)
    for ids, mode in zip(store.ids, store.mode, strict=True):
        total += torch.bincount(ids[mode != FORCED], minlength=count)
    total -= torch.arange(count, device=total.device) / (2 * count)
    return total.topk(size).indices.sort().values
