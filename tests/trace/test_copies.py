"""Values that wait on a device, tried without one: what waits is decided by a function."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.trace.conftest import Twins
from tokenarium.backend.runs.events import CancelToken
from tokenarium.backend.trace import draft
from tokenarium.backend.trace.copies import Copies
from tokenarium.backend.trace.request import TraceRequest
from tokenarium.backend.trace.runner import trace


def test_copies_fill_views_of_either_format_in_one_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    joined = torch.cat

    def cat(pieces: Any) -> torch.Tensor:
        copied.append(len(pieces))
        return joined(pieces)

    monkeypatch.setattr(torch, "cat", cat)
    copies = Copies(1 << 20, lambda _: True)
    floats, ids = np.full((3, 4), np.nan, np.float32), np.full((2, 5), -1, np.int32)
    columns = torch.arange(8.0).view(4, 2)[:, 1]  # not in one piece
    copies.put(floats[1], columns)
    copies.put(floats[2, :2], torch.tensor([True, False]))
    copies.put(ids[:, 1:4], torch.arange(6).view(2, 3))
    assert np.isnan(floats).all()
    copies.finish()
    copies.finish()
    assert copied == [3]
    np.testing.assert_array_equal(floats[1], [1, 3, 5, 7])
    np.testing.assert_array_equal(floats[2], [1, 0, np.nan, np.nan])
    np.testing.assert_array_equal(ids, [[-1, 0, 1, 2, -1], [-1, 3, 4, 5, -1]])


def test_copies_come_when_too_much_waits() -> None:
    copies = Copies(12, lambda _: True)
    array = np.zeros((2, 2), np.float32)
    copies.put(array[0], torch.ones(2))
    assert array.sum() == 0
    copies.put(array[1], torch.ones(2))
    assert array.sum() == 4


def test_trace_is_the_same_where_values_wait(
    twins: Twins, letters: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, _ = twins("gpt_oss")
    request = TraceRequest(model="tiny", text=letters(40), top_k=5, tiles=16, logit_lens=True)

    def run() -> dict[str, np.ndarray]:
        return trace(request, loaded, 2048, lambda _: None, CancelToken()).arrays()

    at_once = run()
    monkeypatch.setattr(draft, "Copies", lambda: Copies(1 << 30, lambda _: True))
    waiting = run()
    assert at_once.keys() == waiting.keys()
    for name, values in at_once.items():
        np.testing.assert_array_equal(values, waiting[name], err_msg=name)
