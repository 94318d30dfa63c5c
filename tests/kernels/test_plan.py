"""How queries are cut into pieces, blocks, jobs, and panels into few widths."""

from itertools import pairwise

import pytest
import torch

from tokenarium.kernels.attention_stats import AttentionInput, Axis, Grid, Want, plan
from tokenarium.kernels.attention_stats.reference import _Panels


def test_cuts_are_where_a_wanted_sum_begins_or_ends():
    want = Want(last=3, segments=3, tiles=Grid(Axis(102, 108, 2), Axis(0, 4, 1)))
    # Queries 0 to 9 at positions 100 to 109: thirds at 4 and 7, tiles from 2 to 5 to 8.
    assert plan.cuts(want, queries=10, offset=100) == (0, 2, 4, 5, 7, 8, 10)
    assert plan.cuts(Want(received=True), queries=10, offset=0) == (0, 10)


@pytest.mark.parametrize("most", [1, 7, 64])
@pytest.mark.parametrize("pieces", [(0, 5), (0, 1, 2, 3, 200), (0, 30, 60, 90, 120), (0, 63, 127)])
def test_blocks_start_inside_a_piece_only_where_it_is_taller_than_a_block(pieces, most):
    found = plan.blocks(pieces, lambda _: most)
    assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
    assert found[-1][1] == pieces[-1]
    for start, stop in found:
        assert 0 < stop - start <= most
        if start not in pieces:
            height = next(high - low for low, high in pairwise(pieces) if low < start < high)
            assert height > most
            assert 2 * (stop - start) > most


def test_jobs_hold_every_block_once_the_last_queries_first():
    blocks = [(start, start + 10) for start in range(0, 1000, 10)]
    found = plan.jobs(blocks)
    assert len(found) == plan.CHUNKS
    assert [block for job in found[::-1] for block in job] == blocks
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_rounded_widths_are_few_and_little_wider():
    widths = range(1, 40_000)
    rounded = [plan.rounded(width) for width in widths]
    assert all(0 <= r - w <= plan.widest_margin(w) for r, w in zip(rounded, widths, strict=True))
    assert all(plan.STEPS * (r - w) <= w for r, w in zip(rounded, widths, strict=True))
    assert sum(1 << 14 <= width <= 1 << 15 for width in set(rounded)) == plan.STEPS + 1


def test_panels_of_a_long_text_have_few_shapes():
    zeros = (torch.zeros(1, 32_768, 1) for _ in range(3))
    layer = _Panels(AttentionInput(*zeros, scaling=1.0), Want())
    blocks = [block for job in layer.jobs for block in job]
    shapes = {(stop - start, layer._seen(start, stop)[1]) for start, stop in blocks}
    assert len(blocks) > 300
    assert len(shapes) < 120, "oneDNN keeps 1,024 compiled products"
