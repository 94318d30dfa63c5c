"""A draft head that reads the target's states of a text, and its own guesses after them."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tokenarium.backend.speculation.state_heads.state_head import StateHead


class HeadReader:
    """The keys and values of a head's layers: of the text, and of drafted tokens until ``keep``.

    Place p pairs the state after token p with token p + 1, and guesses what follows it. In the text
    it is the target's state, which is known only once the target has read the token, so nothing
    drafted is kept: accepted tokens are read again with the states that the target has of them (Li
    et al., 2024, arXiv:2401.15077).

    Args:
        head: of the target.
        states: from a place on, the target's states [n, s] of the text that the head reads.
        capacity: most places at once; the cache grows where it does not suffice.
    """

    def __init__(self, head: StateHead, states: Callable[[int], Tensor], capacity: int) -> None:
        self.parents: list[int] = []
        self.layers = head.layers
        self._head, self._states, self._capacity = head, states, capacity
        self._tokens = 0  # of the text
        self._places = 0  # of the text
        self._cache: dict[int, list[Tensor]] = {}  # keys and values, [G, capacity, D] each
        self._guesses: list[Tensor] = []  # [d] of the drafted tokens
        self._after = head.rows.new_zeros(head.rows.shape[1])  # the guess after the text

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read tokens of the text, the root last, and return the logits after it [V].

        Raises:
            ValueError: if the text has one token: no state comes before it.
        """
        self.keep([])
        first = self._tokens
        self._tokens += len(ids)
        new = list(ids)[max(0, 1 - first) :]
        if not new:
            raise ValueError("a text of 1 token has no state to read: draft after 2 or more")
        hidden = self._states(self._places)[: len(new)]
        # Only the last place is guessed from: of the others, keys and values suffice.
        places = range(self._places, self._places + len(new))
        feature, out = self._guess(hidden, new, places, None, drafted=False)
        self._after = feature[-1]
        self._places += len(new)
        return self._head.logits(out[-1:])[0]

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read drafted tokens, each after a parent of an earlier call; -1 follows the text.

        Returns: the logits after each [n, V].
        """
        above, depths = [], []
        for parent in parents:
            above.append(self._after if parent < 0 else self._guesses[parent])
            self.parents.append(parent)
            depths.append(len(self._path(len(self.parents) - 1)) - 1)
        places = [self._places + depth for depth in depths]
        seen = self._seen(len(ids))
        features, outs = self._guess(torch.stack(above), ids, places, seen, drafted=True)
        self._guesses += features.unbind()
        return self._head.logits(outs)

    def keep(self, path: Sequence[int]) -> int:  # noqa: ARG002 - what a reader of a model is given
        """Drop all drafted tokens. Returns: 0, as the whole path is read again."""
        self.parents, self._guesses = [], []
        return 0

    def _path(self, node: int) -> list[int]:
        path = [node]
        while (node := self.parents[node]) >= 0:
            path.append(node)
        return path

    def _seen(self, count: int) -> Tensor | None:
        """Return which places [count, held] the last drafted tokens see; None for all."""
        nodes = len(self.parents)
        if count == 1 and len(self._path(nodes - 1)) == nodes:
            return None
        seen = torch.zeros(count, self._places + nodes, dtype=torch.bool)
        seen[:, : self._places] = True
        for row, node in enumerate(range(nodes - count, nodes)):
            seen[row, [self._places + above for above in self._path(node)]] = True
        return seen.to(self._head.rows.device)

    def _guess(
        self,
        hidden: Tensor,
        ids: Sequence[int],
        places: Sequence[int],
        seen: Tensor | None,
        *,
        drafted: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return what the head guesses; with nothing to see by, of the last row alone."""

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self._room(layer, torch.stack([k[0], v[0]]))
            rows, held = q.shape[2], keys.shape[1]
            mask = seen
            if mask is None and rows > 1:
                mask = torch.ones(rows, held, dtype=torch.bool, device=q.device)
                mask = mask.tril(held - rows)
            return functional.scaled_dot_product_attention(
                q, keys[None], values[None], attn_mask=mask, enable_gqa=True
            )

        return self._head.guess(hidden, ids, places, attend, drafted=drafted, last=seen is None)

    def _room(self, layer: int, new: Tensor) -> list[Tensor]:
        """Write keys and values [2, G, n, D] after those held, and return all [G, S, D] of each."""
        count = new.shape[2]
        held = self._places + (len(self.parents) or count)
        empty = [each.new_zeros(each.shape[0], 0, each.shape[2]) for each in new]
        cache = self._cache.setdefault(layer, empty)
        for index, each in enumerate(new):
            if held > cache[index].shape[1]:
                more = max(self._capacity, 2 * held) - cache[index].shape[1]
                cache[index] = functional.pad(cache[index], (0, 0, 0, more))
            cache[index][:, held - count : held] = each
        return [each[:, :held] for each in cache]
