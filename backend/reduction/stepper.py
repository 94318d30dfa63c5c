"""A text read layer by layer, on one copy or on many that were treated otherwise."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tokenarium.backend.models.handed_on import refuse_unless_one_stream
from tokenarium.backend.models.loaded import LoadedModel

MOST_LOGITS = 1 << 23
"""Logits that are held at once."""
TOLERANCE_NATS = {torch.float32: 1e-3}
"""Largest difference of a token's surprisal read layer by layer; 0.1 in half precision."""


class Stepper:
    """Reads a text one layer at a time, so that what comes before a change is computed once.

    Args:
        loaded: nobody else uses it meanwhile.
        ids: the text, T tokens, at least two.
        count: called with the layers that were computed, one for each layer and copy of the text;
            raises to stop.
    Raises: ValueError where reading layer by layer gives other numbers than the model gives.
    """

    def __init__(
        self, loaded: LoadedModel, ids: Sequence[int], count: Callable[[int], None]
    ) -> None:
        refuse_unless_one_stream(loaded, "reading layer by layer")
        self.loaded, self.ids, self.count = loaded, list(ids), count
        self._calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self.states: Tensor
        """[1, T, D] what enters the first layer."""
        plain = self._read_once()
        self._refuse_unless_alike(plain)

    @cached_property
    def dense(self) -> NDArray[np.float64]:
        """[T - 1] surprisal of each token but the first, nothing being cut."""
        states = self.states
        for number in range(len(self.loaded.layers)):
            states = self.layer(number, states)
        found: NDArray[np.float64] = self.token_nats(states)[0]
        return found

    def layer(self, number: int, states: Tensor) -> Tensor:
        """Return what leaves a layer.

        Args:
            number: of the layer.
            states: [N, T, D] what enters it, of N copies of the text.
        Returns: [N, T, D].
        """
        args, named = self._calls[number]
        module = self.loaded.layers[number]
        if args:
            output = module(states, *args[1:], **named)
        else:
            output = module(**{**named, "hidden_states": states})
        self.count(len(states))
        found: Tensor = output if isinstance(output, Tensor) else output[0]
        return found

    def token_nats(self, states: Tensor) -> NDArray[np.float64]:
        """Return [N, T - 1] the surprisal of each token but the first.

        Args:
            states: [N, T, D] what leaves the last layer.
        """
        norm = self.loaded.final_norm
        wanted = torch.tensor(self.ids[1:], device=states.device)
        rows = states[:, :-1].reshape(-1, states.shape[-1])
        truth = wanted.repeat(len(states))
        found = []
        start = 0
        size = 32
        while start < len(rows):
            self.count(0)
            part = rows[start : start + size]
            logits = self.loaded.unembed(part if norm is None else norm(part)).float()
            own = logits.gather(1, truth[start : start + size, None])[:, 0]
            found.append(torch.logsumexp(logits, 1) - own)
            start += size
            size = max(32, MOST_LOGITS // logits.shape[1])
        nats: NDArray[np.float64] = torch.cat(found).double().cpu().numpy()
        return nats.reshape(len(states), -1)

    def _read_once(self) -> NDArray[np.float64]:
        """Read the text as ever, and note what each layer is handed."""

        def note(number: int) -> Callable[..., None]:
            def hook(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
                if number == 0:
                    self.states = args[0] if args else named["hidden_states"]
                self._calls[number] = args, named

            return hook

        handles = [
            layer.register_forward_pre_hook(note(number), with_kwargs=True)
            for number, layer in enumerate(self.loaded.layers)
        ]
        try:
            tokens = torch.tensor([self.ids], device=self.loaded.device)
            body = self.loaded.body(input_ids=tokens, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        self.count(len(self.loaded.layers))
        logits = self.loaded.unembed(body.last_hidden_state[0, :-1]).float()
        own = logits.gather(1, tokens[0, 1:, None])[:, 0]
        found: NDArray[np.float64] = (torch.logsumexp(logits, 1) - own).double().cpu().numpy()
        return found

    def _refuse_unless_alike(self, plain: NDArray[np.float64]) -> None:
        """Read two copies layer by layer: some models keep more between layers than a residual."""
        most = TOLERANCE_NATS.get(self.loaded.dtype, 0.1)
        try:
            states = self.states.repeat(2, 1, 1)
            for number in range(len(self.loaded.layers)):
                states = self.layer(number, states)
            off = float(np.abs(self.token_nats(states) - plain).max())
            said = f"{off:.2g} nats off"
        except (KeyError, RuntimeError, TypeError) as error:
            off, said = np.inf, type(error).__name__
        if not off <= most:
            raise ValueError(
                f"{self.loaded.name} cannot be read layer by layer ({said}): choose a model whose "
                "layers hand on a residual stream and nothing else"
            )
