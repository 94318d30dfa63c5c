"""Masks as bands, and as tensors where no band would do."""

import numpy as np
import pytest
import torch
from transformers.masking_utils import (
    causal_mask_function,
    chunked_causal_mask_function,
    eager_mask,
    sliding_window_causal_mask_function,
)

from tokenarium.backend.observe.masks import Band, band_mask


def seen(band, queries, keys):
    """The band drawn out, for comparison with transformers' own mask."""
    position = torch.arange(queries)[:, None] + band.offset
    key = torch.arange(keys)
    inside = key <= position
    return inside if band.window is None else inside & (key > position - band.window)


@pytest.mark.parametrize("window", [None, 1, 5, 11, 12, 40])
@pytest.mark.parametrize(("queries", "first", "oldest"), [(12, 0, 0), (1, 11, 0), (4, 8, 0)])
def test_band_mask_sees_what_transformers_sees(queries, first, oldest, window):
    function = (
        causal_mask_function if window is None else sliding_window_causal_mask_function(window)
    )
    sizes = {"batch_size": 1, "q_length": queries, "kv_length": 12 - oldest}
    where = {"q_offset": first, "kv_offset": oldest, "mask_function": function}
    band = band_mask(**sizes, **where, local_size=window)
    assert isinstance(band, Band)
    expected = eager_mask(**sizes, **where)[0, 0] == 0
    assert torch.equal(seen(band, queries, 12 - oldest), expected)


def test_band_mask_of_a_window_that_lost_its_oldest_keys():
    sizes = {"batch_size": 1, "q_length": 1, "kv_length": 5, "q_offset": 9, "kv_offset": 5}
    function = sliding_window_causal_mask_function(5)
    band = band_mask(**sizes, mask_function=function, local_size=5)
    assert torch.equal(seen(band, 1, 5), eager_mask(**sizes, mask_function=function)[0, 0] == 0)


def test_band_mask_of_chunks_is_a_tensor():
    function = chunked_causal_mask_function(5, torch.zeros(1, dtype=torch.long))
    sizes = {"batch_size": 1, "q_length": 12, "kv_length": 12, "mask_function": function}
    mask = band_mask(**sizes, local_size=5)
    assert torch.equal(mask, eager_mask(**sizes))


def test_band_mask_of_padding_is_additive_and_without_it_a_band():
    padding = torch.ones(1, 6, dtype=torch.bool)
    assert band_mask(1, 6, 6, attention_mask=padding) == Band(0, None)
    padding[0, :2] = False
    mask = band_mask(1, 6, 6, attention_mask=padding, dtype=torch.float32)
    assert mask.dtype == torch.float32
    assert (mask[0, 0, 5] == 0).tolist() == [False, False, True, True, True, True]


def test_the_latest_queries_of_a_band_are_cut_as_rows_of_a_mask():
    function = sliding_window_causal_mask_function(5)
    sizes = {"batch_size": 1, "q_length": 9, "kv_length": 12, "q_offset": 3}
    band = band_mask(**sizes, mask_function=function, local_size=5)
    mask = eager_mask(**sizes, mask_function=function)
    for start in (0, -2, 4):
        cut = band[:, :, start:, :]
        rows = mask[0, 0, start:]
        assert torch.equal(seen(cut, len(rows), 12), rows == 0)
    assert band[:, :, -0:, :] == band


@pytest.mark.parametrize("cut", [0, np.s_[:, :, :3, :], np.s_[:, :, ::2, :], np.s_[..., 1:]])
def test_a_band_is_cut_in_no_other_way(cut):
    with pytest.raises(TypeError, match="a band of keys cannot be cut"):
        band_mask(1, 6, 6)[cut]
