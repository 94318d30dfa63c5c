"""Runs in another environment, with kvpress: reads and continues a prompt, as it is asked.

Usage: python kvpress_course.py MODEL_FOLDER THREADS, one JSON question a line.
"""

import json
import sys
import time
from contextlib import nullcontext
from typing import Any

import kvpress
import torch
from transformers import AutoModelForCausalLM, DynamicCache


def made(name: str, parameters: dict[str, Any]) -> Any:
    """Return a press, around another one where ``press`` is a pair of name and parameters."""
    if "press" in parameters:
        parameters = parameters | {"press": made(*parameters["press"])}
    return getattr(kvpress, name)(**parameters)


class Course:
    """One model, one prompt, one press at a time."""

    def __init__(self, folder: str) -> None:
        kind = AutoModelForCausalLM.from_pretrained
        self._model = kind(folder, dtype="auto", attn_implementation="sdpa").eval()

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        if "press" in asked:
            self._press, self._ids = made(*asked["press"]), asked["ids"]
            return {}
        if "prefill" in asked:
            self._cache, self._seen = DynamicCache(), 0
            return {"ms": [self._read(self._ids, self._press)]}
        if "decode" in asked:
            return {"ms": [self._read([self._next], None) for _ in range(asked["decode"])]}
        layers = self._cache.layers
        return {"bytes": sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)}

    @torch.inference_mode()
    def _read(self, ids: list[int], press: Any) -> float:
        given = torch.tensor([ids])
        at = torch.arange(self._seen, self._seen + len(ids))[None]
        self._seen += len(ids)
        start = time.perf_counter()
        with nullcontext() if press is None else press(self._model):
            out = self._model(given, past_key_values=self._cache, position_ids=at, logits_to_keep=1)
        took = (time.perf_counter() - start) * 1e3
        self._next = int(out.logits[0, -1].argmax())
        return took


def main(folder: str, threads: str) -> None:
    torch.set_num_threads(int(threads))
    course = Course(folder)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(course.answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
