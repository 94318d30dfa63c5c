"""Logits by plain forward passes: nothing shared with the reader of trees that is audited."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.observe import AttentionCall, Recorder, plain_attention, recording
from tokenarium.backend.observe.streams import stream
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.speculation.vocabulary import SharedVocabulary


class PlainReader:
    """Reads from the start, without a cache; one pass serves every beginning of ``text``.

    Args:
        loaded: nobody else uses it meanwhile.
        text: ids of the target, read when a beginning of it is first asked for.
        layers: predict from the residual after so many layers; None reads all.
        shared: how the model's ids are the target's; None where they are the same.
        check: called in every layer; raises to stop.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        text: Sequence[int] = (),
        *,
        layers: int | None = None,
        shared: SharedVocabulary | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._recorder = CancelCheck(check)
        self._loaded, self._layers, self._shared = loaded, layers, shared
        self._text = tuple(text)
        self._states: Tensor | None = None

    def knows(self, ids: Sequence[int]) -> bool:
        """Return whether ``ids`` are the beginning of the text."""
        return 0 < len(ids) <= len(self._text) and self._text[: len(ids)] == tuple(ids)

    @torch.inference_mode()
    def __call__(self, ids: Sequence[int]) -> Tensor:
        """Return the logits [V] after ``ids``, which are the target's."""
        if not self.knows(ids):
            state = self.states(ids)[-1]
        else:
            if self._states is None:
                self._states = self.states(self._text)
            state = self._states[len(ids) - 1]
        logits = self._loaded.unembed(state)
        return (self._shared.logits(logits[None])[0] if self._shared else logits).float()

    @torch.inference_mode()
    def along(self, start: int, stop: int) -> Tensor:
        """Return the logits [stop - start, V] after each of the text's tokens ``start`` to
        ``stop``, float32, where the model reads the ids themselves."""
        if self._states is None:
            self._states = self.states(self._text)
        return self._loaded.unembed(self._states[start:stop]).float()

    @torch.inference_mode()
    def states(self, ids: Sequence[int]) -> Tensor:
        """Return the normed states [T, D] after each of the target's ids, read from the start."""
        loaded, own, ends = self._loaded, list(ids), list(range(1, len(ids) + 1))
        if self._shared:
            pieces = [self._shared.spelled([token]) for token in ids]
            own = [token for piece in pieces for token in piece]
            ends = list(accumulate(len(piece) for piece in pieces))
        early = self._layers not in (None, len(loaded.layers))
        with recording(self._recorder):
            output: Any = loaded.body(
                input_ids=torch.tensor([own], device=loaded.device),
                use_cache=False,
                output_hidden_states=early,
            )
        if early and self._layers is not None:
            states = self._after(output, self._layers)[0]
            states = states if loaded.final_norm is None else loaded.final_norm(states)
        else:
            states = output.last_hidden_state[0]
        found: Tensor = states[[end - 1 for end in ends]]
        return found

    @torch.inference_mode()
    def residuals(self, ids: Sequence[int], after: Sequence[int]) -> Tensor:
        """Return the residual after so many layers each, side by side [T, k D]; 0 is before the
        first. Without any, ``states``."""
        if not after:
            return self.states(ids)
        loaded, last = self._loaded, list[Any]()
        # The last of what a model returns went through its final norm.
        handle = loaded.layers[-1].register_forward_hook(lambda _, __, output: last.append(output))
        try:
            with recording(self._recorder):
                output: Any = loaded.body(
                    input_ids=torch.tensor([list(ids)], device=loaded.device),
                    use_cache=False,
                    output_hidden_states=True,
                )
        finally:
            handle.remove()
        found = [self._after(output, count) for count in range(len(loaded.layers))]
        found.append(stream(loaded.layers[-1], last[0]))
        return torch.cat([found[count][0] for count in after], -1)

    def _after(self, output: Any, count: int) -> Tensor:
        """Return the residual [1, T, D] that a reading gave after so many layers."""
        return stream(self._loaded.layers[max(count - 1, 0)], output.hidden_states[count])


class CancelCheck(Recorder):
    """Plain attention that checks in every layer whether to stop."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def attend(self, call: AttentionCall) -> Tensor:
        self._check()
        return plain_attention(call)


def processed(
    reader: Callable[[Sequence[int]], Tensor], processors: Processors
) -> Callable[[Sequence[int]], Tensor]:
    """Return logits [V] as greedy decoding compares them, up to a constant."""
    warm = Processors(temperature=1.0, repetition_penalty=processors.repetition_penalty)
    return lambda ids: warm.probs(reader(ids)[None], [ids])[0].log()
