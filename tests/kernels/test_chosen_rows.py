"""Products with chosen keys and sums of chosen values against float64, on both paths of a CPU."""

import os

import pytest
import torch

from tokenarium.kernels.attention_stats import paths
from tokenarium.kernels.gather_attention import rows


@pytest.fixture(params=["panels", "native"], autouse=True)
def path(request, monkeypatch):
    """Every test of this file runs on both paths of a CPU."""
    monkeypatch.setattr(paths, "_wished", request.param)
    found = paths.chosen()
    if request.param == "native" and found.library is None:
        assert "differs" not in found.reason, "it compiles, and its own trial refuses it"
        assert "CI" not in os.environ, found.reason
        pytest.skip(found.reason)


def buffer(entries: int, size: int, chosen: torch.Tensor) -> torch.Tensor:
    """Rows that are NaN where nothing is chosen, inside a wider buffer."""
    drawn = torch.randn(entries, size, generator=torch.Generator().manual_seed(size))
    found = torch.full((entries, size + 5), torch.nan)[:, :size]
    found[chosen.flatten()] = drawn[chosen.flatten()]
    return found


SIZES = pytest.mark.parametrize("size", [1, 15, 16, 64, 83, 200])
QUERIES = pytest.mark.parametrize("queries", [1, 2, 3, 4, 7])


@SIZES
@QUERIES
def test_chosen_rows_are_multiplied_and_summed_and_no_other_is_read(size, queries):
    draw = torch.Generator().manual_seed(queries)
    at = torch.stack([torch.randperm(90, generator=draw)[:37] for _ in range(2)])
    held = buffer(90, size, at)
    q = torch.randn(2, queries, size, generator=draw)
    weights = torch.rand(queries, 2, 37, generator=draw).transpose(0, 1)
    read = held.double()[at]
    found = rows.products(q, held, at)
    torch.testing.assert_close(found.double(), q.double() @ read.mT, rtol=1e-5, atol=1e-5)
    found = rows.sums(weights, held, at)
    torch.testing.assert_close(found.double(), weights.double() @ read, rtol=1e-5, atol=1e-5)


@SIZES
@pytest.mark.parametrize("threads", [1, 3])
def test_all_keys_of_a_head_are_multiplied_however_many_work_on_them(size, threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    draw = torch.Generator().manual_seed(size)
    keys = torch.randn(3, 9000, size, generator=draw)[:, 100:8100]
    q = torch.randn(3, 2, size, generator=draw)
    found = rows.products(q, keys)
    torch.testing.assert_close(found.double(), q.double() @ keys.double().mT, rtol=1e-5, atol=2e-5)


def test_other_types_are_multiplied_by_pytorch():
    at = torch.tensor([[2, 0], [3, 3]])
    keys = torch.randn(4, 8, dtype=torch.bfloat16)
    q = torch.randn(2, 1, 8, dtype=torch.bfloat16)
    assert torch.equal(rows.products(q, keys, at), (q @ keys[at].mT).float())
    weights = torch.rand(2, 1, 2)
    assert torch.equal(rows.sums(weights, keys, at), weights.bfloat16() @ keys[at])


def test_nothing_chosen_sums_to_nothing():
    none = torch.empty(2, 0, dtype=torch.int64)
    values = torch.ones(4, 8)
    assert rows.products(torch.ones(2, 1, 8), values, none).shape == (2, 1, 0)
    assert torch.equal(rows.sums(torch.ones(2, 1, 0), values, none), torch.zeros(2, 1, 8))
