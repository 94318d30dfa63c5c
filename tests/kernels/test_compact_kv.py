"""Compaction against Python lists."""

import pytest
import torch

from tokenarium.kernels.compact_kv import close_gaps, compact_kv


def chosen(counts: list[int], lefts: list[int]) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(sum(counts))
    return [
        torch.randperm(count, generator=draw)[:left].sort().values
        for count, left in zip(counts, lefts, strict=True)
    ]


@pytest.mark.parametrize("shape", [(), (1,), (5,), (80,)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int32])
@pytest.mark.parametrize(
    ("starts", "counts", "lefts"),
    [
        ([0], [1], [1]),
        ([3], [123], [42]),
        ([0, 50, 100], [43, 43, 43], [6, 6, 6]),
        ([2, 52, 102], [43, 43, 43], [43, 43, 43]),
        ([0, 10, 200], [7, 123, 31], [1, 42, 31]),
    ],
)
def test_kept_rows_stand_at_the_start_of_their_head(starts, counts, lefts, dtype, shape) -> None:
    total = starts[-1] + counts[-1] + 2
    before = torch.arange(total).view(-1, *(1 for _ in shape)).expand(-1, *shape).to(dtype)
    kept = chosen(counts, lefts)
    for given in (kept, torch.stack(kept)) if len(set(lefts)) == 1 else (kept,):
        buffer = before.clone()
        compact_kv(buffer, starts, given)
        for start, rows in zip(starts, kept, strict=True):
            assert torch.equal(buffer[start : start + len(rows)], before[start + rows])
        rest = torch.ones(total, dtype=torch.bool)
        for start, left in zip(starts, lefts, strict=True):
            rest[start : start + left] = False
        assert torch.equal(buffer[rest], before[rest])


@pytest.mark.parametrize("by", [-5, -1, 1, 5])
@pytest.mark.parametrize("together", [False, True])
def test_rows_may_move_up_or_down_over_themselves(by: int, together: bool) -> None:
    starts, kept = [10, 60], chosen([30, 30], [20, 20])
    before = torch.randn(100, 3)
    buffer = before.clone()
    places = [start + by for start in starts]
    compact_kv(buffer, starts, torch.stack(kept) if together else kept, places)
    for start, rows, place in zip(starts, kept, places, strict=True):
        assert torch.equal(buffer[place : place + 20], before[start + rows])


def test_other_numbers_of_heads_are_refused() -> None:
    rows = torch.arange(2)
    with pytest.raises(ValueError, match="2 starts do not fit 1 lists"):
        compact_kv(torch.zeros(8, 2), [0, 4], [rows])


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("gone", [[[0], [29]], [[29], [5]], [[3, 4, 17], [0, 1, 29]], [[], []]])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_gaps_are_closed_from_either_side(shape, gone, up: bool) -> None:
    starts, count = [4, 50], 30
    before = torch.randn(90, *shape)
    buffer = before.clone()
    close_gaps(buffer, starts, count, gone, up=up)
    rest = torch.ones(90, dtype=torch.bool)
    for start, own in zip(starts, gone, strict=True):
        kept = [index for index in range(count) if index not in own]
        place = start + len(own) * up
        assert torch.equal(buffer[place : place + len(kept)], before[start:][kept])
        rest[start : start + count] = False
    assert torch.equal(buffer[rest], before[rest])


def test_gaps_are_closed_in_contiguous_memory_only() -> None:
    with pytest.raises(ValueError, match="contiguous main memory only"):
        close_gaps(torch.zeros(4, 6).t(), [0], 4, [[1]], up=False)
