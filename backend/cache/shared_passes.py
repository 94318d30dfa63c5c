"""Forward passes that the policies of a run share: the model computes them once, on a CPU.

A policy that reads a prompt as the model does has the queries, keys and values of every other one:
what it measures, keeps and drops comes after them. The full cache goes on like that. So a pass is
kept by what was read up to its end; a later reading attends over its own entries again, and takes
the rest from there, bit by bit the same. Nothing is taken from another run: its times are those of
another moment, and beside this run's they would say nothing. On a GPU, where a pass is short and
the memory that it took is measured, nothing is shared.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from tokenarium.backend.observe import AttentionCall

MOST_BYTES = 256 * 2**20
"""All passes of a run together; those that were used longest ago go first."""


@dataclass(frozen=True)
class ModelPass:
    """What a forward pass over n tokens gave."""

    calls: tuple[AttentionCall, ...]
    """What each layer that attends was about to compute, of these tokens alone, in order."""
    hidden: Tensor
    """[n, D] final states."""
    model_ms: float
    """What it took, attention and all that a policy did left out."""


@dataclass
class Noting:
    """Takes down what the layers of a pass see, as long as that stays small."""

    calls: list[AttentionCall] = field(default_factory=list)
    nbytes: int = 0
    attention_ms: float = 0.0

    def see(self, call: AttentionCall) -> None:
        """Take down what a layer is about to compute."""
        if self.nbytes > MOST_BYTES:
            return
        self.nbytes += _nbytes(call.q, call.k, call.v)
        self.calls.append(call)
        if self.nbytes > MOST_BYTES:
            self.calls.clear()


class SharedPasses:
    """Passes of a run by what the model had read.

    Args:
        most_bytes: that all of them hold together.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._passes: OrderedDict[bytes, tuple[ModelPass, int]] = OrderedDict()
        self._bytes = 0

    def find(self, key: bytes) -> ModelPass | None:
        """Return a pass that was made already."""
        found = self._passes.get(key)
        if found is None:
            return None
        self._passes.move_to_end(key)
        return found[0]

    def put(self, key: bytes, made: ModelPass, nbytes: int) -> None:
        """Keep a pass, if there is room for it beside others."""
        nbytes += _nbytes(made.hidden)
        if nbytes > self._most_bytes:
            return
        _, before = self._passes.pop(key, (None, 0))
        self._passes[key] = (made, nbytes)
        self._bytes += nbytes - before
        while self._bytes > self._most_bytes:
            _, (_, gone) = self._passes.popitem(last=False)
            self._bytes -= gone


class Trail:
    """What one sequence has read so far, as far as that decides what the model computes next.

    Args:
        passes: of the run.
        goes_on: how the sequence reads after the prompt, where that is what the full cache does;
            empty where entries are dropped or not read, so that only the prompt is shared.
    """

    def __init__(self, passes: SharedPasses, goes_on: str) -> None:
        self._passes, self._goes_on = passes, goes_on
        self._prompt = self._read = b""

    def goes_over(self, ids: Sequence[int]) -> bool:
        """Go on over the next tokens; return whether a pass over them can be shared."""
        if self._read and not self._goes_on:
            return False
        told = f"{self._goes_on if self._read else ''} {','.join(map(str, ids))}"
        self._read = hashlib.sha256(self._read + told.encode()).digest()
        self._prompt = self._prompt or self._read
        return True

    @property
    def made(self) -> ModelPass | None:
        """The pass over the newest tokens, if another sequence has made it."""
        return self._passes.find(self._read)

    def keep(self, noting: Noting, hidden: Tensor, took_ms: float) -> None:
        """Keep the pass over the newest tokens for others, unless it was too large."""
        if noting.calls:
            made = ModelPass(tuple(noting.calls), hidden, took_ms - noting.attention_ms)
            self._passes.put(self._read, made, noting.nbytes)

    def rewind(self) -> None:
        """Go back to the end of the prompt."""
        self._read = self._prompt


def _nbytes(*tensors: Tensor) -> int:
    return sum(each.untyped_storage().nbytes() for each in tensors)
