"""Traces of tiny models, and how they must compare with transformers' own."""

from typing import Any

import numpy as np
import pytest

from tests.trace.oracle import expected
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.result import TraceResult
from tokenarium.backend.trace.runner import trace

FAMILIES = ["llama", "gpt2", "qwen3", "mistral", "gemma2", "gpt_oss"]
LARGE = ("residual_norm", "residual_top_values", "key_norm", "value_norm")


def ask(text: str, **values: Any) -> TraceRequest:
    asked = {"model": "tiny", "text": text, "top_k": 5, "tiles": 16, "logit_lens": True}
    return TraceRequest(**asked | values)


def run(loaded: Any, request: TraceRequest, emit: Any = None, cancel: Any = None) -> TraceResult:
    return trace(request, loaded, 2048, emit or (lambda _: None), cancel or CancelToken())


def assert_equals_oracle(result: TraceResult, oracle: Any, tiles: int, top_k: int) -> None:
    wanted = expected(oracle, result.token_ids.tolist(), tiles, top_k, result.forgetting)
    for name, values in wanted.items():
        found = getattr(result, name)
        assert found.shape == values.shape, name
        if values.dtype.kind == "i":
            assert found.dtype == np.int32, name
            np.testing.assert_array_equal(found, values, err_msg=name)
            continue
        assert found.dtype == np.float32, name
        loose = 1e-4 if name in LARGE else 1e-5
        np.testing.assert_allclose(found, values, rtol=loose, atol=loose, err_msg=name)
    rate = float((wanted["sink_score"] > result.sink_threshold).mean())
    assert result.sink_rate == pytest.approx(rate)


def count_layers(loaded: Any) -> tuple[list[int], list[Any]]:
    ran: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
        for number, layer in enumerate(loaded.layers)
    ]
    return ran, hooks
