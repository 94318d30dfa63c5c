"""Who follows whom in a tree of tokens, prepared once for all layers of a pass."""

from collections.abc import Sequence

import torch
from torch import Tensor

WORD = 64
"""Nodes in one word of an ancestor mask."""


class Ancestry:
    """The ancestors and the depth of every node of a tree that follows a text.

    Args:
        parents: [M] index of each node's parent among the nodes; -1 follows the text.

    Raises:
        ValueError: if a parent does not come before its child.
    """

    def __init__(self, parents: Sequence[int]) -> None:
        self.depths: list[int] = []
        """[M] edges from the text: 0 follows it."""
        self.bits: list[int] = []
        """[M] bit j of node i is set where j is i or an ancestor of it."""
        for node, parent in enumerate(parents):
            if not -1 <= parent < node:
                raise ValueError(
                    f"parents[{node}]={parent} is not between -1, the text, and {node - 1}: list "
                    "nodes parents first"
                )
            above = self.bits[parent] if parent >= 0 else 0
            self.bits.append(above | 1 << node)
            self.depths.append(self.depths[parent] + 1 if parent >= 0 else 0)
        self._biases: dict[tuple[object, ...], tuple[int, Tensor | None]] = {}
        self._tables: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.bits)

    def first_seen(self, queries: int, text: int, window: int | None) -> int:
        """Return how many of ``text`` keys none of the ``queries`` newest nodes sees."""
        if window is None:
            return 0
        return min(text, max(0, text + min(self.depths[-queries:]) - window + 1))

    def bias(
        self,
        queries: int,
        text: int,
        window: int | None,
        repeats: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> tuple[int, Tensor | None]:
        """Return what is added to the logits of the newest nodes, made once for all layers.

        Args:
            queries: n newest nodes.
            text: keys before the tree.
            window: most positions a query sees, its own included.
            repeats: query heads of one key head.
            dtype: of the result.
            device: where it is added.
        Returns: the first key of S that any query sees, and [repeats * n, S - first] with 0 where a
            query sees a key, -inf elsewhere; None where all see all.
        """
        key = queries, text, window, repeats, dtype, device
        if key not in self._biases and window is None:
            self._biases[key] = 0, self._of_nodes(queries, text, repeats, dtype, device)
        if key not in self._biases:
            first = self.first_seen(queries, text, window)
            hidden = self._hidden(queries, text, window)[:, first:]
            bias = None
            if bool(hidden.any()):
                bias = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf)
                bias = bias.repeat(repeats, 1).to(device)
            self._biases[key] = first, bias
        return self._biases[key]

    def _of_nodes(
        self, queries: int, text: int, repeats: int, dtype: torch.dtype, device: torch.device
    ) -> Tensor | None:
        """Return the bias where all see the whole text, so that only nodes are to be hidden."""
        bits = self._words(queries)[..., None] >> torch.arange(WORD) & 1
        hidden = bits.flatten(1)[:, : len(self)] == 0
        if not bool(hidden.any()):
            return None
        bias = torch.zeros(repeats, queries, text + len(self), dtype=dtype)
        bias[..., text:].masked_fill_(hidden, -torch.inf)
        return bias.flatten(0, 1).to(device)

    def table(self, queries: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return ancestor masks [n, ceil(M / 64)] of the newest nodes and depths [M], integers."""
        key = queries, device
        if key not in self._tables:
            depths = torch.tensor(self.depths, dtype=torch.int32, device=device)
            self._tables[key] = self._words(queries).to(device), depths
        return self._tables[key]

    def _words(self, queries: int) -> Tensor:
        width = -(-len(self) // WORD)
        packed = b"".join(bits.to_bytes(8 * width, "little") for bits in self.bits[-queries:])
        return torch.frombuffer(bytearray(packed), dtype=torch.int64).view(queries, width)

    def _hidden(self, queries: int, text: int, window: int | None) -> Tensor:
        """Return which keys [n, S] the newest nodes do not see."""
        bits = self._words(queries)[..., None] >> torch.arange(WORD) & 1
        seen = bits.flatten(1)[:, : len(self)].bool()
        hidden = torch.cat((seen.new_zeros(queries, text), ~seen), 1)
        if window is not None:
            depths = torch.tensor(self.depths)
            places = torch.cat((torch.arange(text), text + depths))
            hidden |= places <= places[-queries:, None] - window
        return hidden
