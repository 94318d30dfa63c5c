"""A prompt read and continued, step by step: under our policies, by transformers, by kvpress."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import DynamicCache, PreTrainedModel

from tokenarium.backend.cache.engine import CachedSequence
from tokenarium.backend.cache.policies.full import Full
from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.models.generating import wait
from tokenarium.backend.models.loaded import LoadedModel

KVPRESS = "TOKENARIUM_KVPRESS_PYTHON"


class Course(Protocol):
    """A prompt that is read, then continued greedily."""

    def prefill(self) -> float:
        """Read the prompt anew, and return the milliseconds it took."""

    def decode(self, steps: int) -> list[float]:
        """Read as many further tokens, and return the milliseconds of each."""

    def held_bytes(self) -> int:
        """Return the bytes of the cache."""


class OfPolicy:
    """Our engine under a policy."""

    def __init__(self, loaded: LoadedModel, policy: Policy, budget: int, ids: list[int]) -> None:
        self._parts, self._ids = (loaded, policy, budget), ids
        self._device = loaded.device

    def prefill(self) -> float:
        """Read the prompt anew, and return the milliseconds it took."""
        self.sequence: CachedSequence | None = None  # frees the cache before
        loaded, policy, budget = self._parts
        self.sequence = CachedSequence(loaded, policy, budget)
        return self._read(self._ids)

    def decode(self, steps: int) -> list[float]:
        """Read as many further tokens, and return the milliseconds of each."""
        return [self._read([self._next]) for _ in range(steps)]

    def held_bytes(self) -> int:
        """Return the bytes of the cache."""
        assert self.sequence is not None
        return self.sequence.cache_bytes

    def _read(self, ids: list[int]) -> float:
        assert self.sequence is not None
        wait(self._device)
        start = time.perf_counter()
        logits = self.sequence.read(ids)
        wait(self._device)
        took = (time.perf_counter() - start) * 1e3
        self._next = int(logits.argmax())
        self.sequence.dropped.clear()  # as the ledger does after every step
        return took


class Static(OfPolicy):
    """Our engine over a cache of the budget's size in which nothing is scored or dropped."""

    def __init__(self, loaded: LoadedModel, budget: int, ids: list[int]) -> None:
        super().__init__(loaded, Full(), 1, ids[:budget])

    def decode(self, steps: int) -> list[float]:
        """Begin at the budget's size again, so that the cache stays as large as it is."""
        assert self.sequence is not None
        self.sequence.rewind()
        return super().decode(steps)


class OfTransformers:
    """The model with PyTorch's own attention and transformers' growing cache."""

    def __init__(self, model: PreTrainedModel, ids: list[int]) -> None:
        self._model, self._ids = model, ids

    def prefill(self) -> float:
        """Read the prompt anew, and return the milliseconds it took."""
        self._cache: DynamicCache | None = None
        self._cache = DynamicCache(config=self._model.config)
        return self._read(self._ids)

    def decode(self, steps: int) -> list[float]:
        """Read as many further tokens, and return the milliseconds of each."""
        return [self._read([self._next]) for _ in range(steps)]

    def held_bytes(self) -> int:
        """Return the bytes of the cache."""
        assert self._cache is not None
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self._cache.layers)

    @torch.inference_mode()
    def _read(self, ids: list[int]) -> float:
        given = torch.tensor([ids], device=self._model.device)
        wait(given.device)
        start = time.perf_counter()
        out = self._model(given, past_key_values=self._cache, logits_to_keep=1)
        wait(given.device)
        took = (time.perf_counter() - start) * 1e3
        self._next = int(out.logits[0, -1].argmax())
        return took


class OfKVPress:
    """kvpress in a process and an environment of its own, asked in the same rounds."""

    def __init__(self, folder: Path, press: tuple[str, dict[str, Any]], ids: Sequence[int]) -> None:
        script = Path(__file__).with_name("kvpress_course.py")
        self._process = subprocess.Popen(
            [os.environ[KVPRESS], str(script), str(folder), str(torch.get_num_threads())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._ask({"press": press, "ids": list(ids)})

    def prefill(self) -> float:
        """Read the prompt anew, and return the milliseconds it took."""
        return float(self._ask({"prefill": True})["ms"][0])

    def decode(self, steps: int) -> list[float]:
        """Read as many further tokens, and return the milliseconds of each."""
        return list(self._ask({"decode": steps})["ms"])

    def held_bytes(self) -> int:
        """Return the bytes of the cache."""
        return int(self._ask({"bytes": True})["bytes"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        told = self._process.stdout.readline()
        if not told:
            sys.exit(f"kvpress ended: {self._process.wait()}")
        answer: dict[str, Any] = json.loads(told)
        return answer
