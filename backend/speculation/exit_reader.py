"""The first layers of a target as its own draft, with the keys and values that it has anyway."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.reader import TreeReader


class ExitReader:
    """Reads drafted tokens by the target's first layers after its cache of the text.

    What it writes there of drafted tokens is dropped before the target reads them with all layers.

    Args:
        target: reads for the model; it keeps states after each of ``exits`` layers.
        layers: that draft, until they are changed.
        exits: after how many layers ``agreeing`` looks at the text.
    """

    def __init__(self, target: TreeReader, layers: int, exits: Sequence[int] = ()) -> None:
        self._target, self.exits = target, tuple(exits)
        self.layers = layers
        """That draft; to be changed between trees alone."""
        self.parents: list[int] = []

    @property
    def loaded(self) -> LoadedModel:
        """The model."""
        return self._target.loaded

    @property
    def depth(self) -> int:
        """How many layers the model has."""
        return len(self._target.loaded.layers)

    @torch.inference_mode()
    def extend(self, ids: Sequence[int]) -> Tensor:
        """Read the root, the last of ``ids``, and return the logits after it [V]; the target has
        read what comes before."""
        self._target.forget_after(0)
        self.parents = []
        return self._logits(ids[-1:], [-1])[0]

    @torch.inference_mode()
    def read(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        """Read drafted tokens, each after its parent, -1 the root; return the logits [n, V]."""
        self.parents += parents
        return self._logits(ids, [parent + 1 for parent in parents])

    def keep(self, path: Sequence[int]) -> int:  # noqa: ARG002 - what a reader of a model is given
        """Drop all drafted tokens. Returns: 0, as the target has read the path."""
        self.parents = []
        return 0

    @torch.inference_mode()
    def agreeing(self, ids: Sequence[int], start: int) -> Tensor:
        """Return where exits would have said the text: hits [n, E] of n tokens from ``start`` on.

        Args:
            ids: [T] the text, its last token not yet read by the target.
            start: of the tokens that are looked at; 1 is the first that a state comes before.
        """
        first = max(start, 1)
        states = self._target.states(first - 1)
        said = torch.tensor(ids[first:], device=states.device)
        exits = states[: len(said)].chunk(len(self.exits), -1)
        return torch.stack([self._unembedded(exit_).argmax(-1) == said for exit_ in exits], -1)

    def _logits(self, ids: Sequence[int], parents: Sequence[int]) -> Tensor:
        return self.loaded.unembed(self._target.read_states(ids, parents, self.layers))

    def _unembedded(self, residual: Tensor) -> Tensor:
        norm = self.loaded.final_norm
        return self.loaded.unembed(residual if norm is None else norm(residual))
