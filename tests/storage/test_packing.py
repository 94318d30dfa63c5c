"""Arrays come back bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tokenarium.storage import packing
from tokenarium.storage.schema import PART_BYTES

DTYPES = st.sampled_from([np.bool_, np.int32, np.int64, np.float32, np.float64, np.uint8])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)


def _round_trip(array):
    rows, parts = packing.pack("run", {"a": array})
    data = packing.join((part["name"], part["part"], part["data"]) for part in reversed(parts))
    return packing.unpack(rows[0]["dtype"], rows[0]["shape"], data["a"]), rows, parts


@settings(max_examples=150, deadline=None)
@given(DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
def test_pack_returns_every_bit(array):
    back, *_ = _round_trip(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


def test_pack_keeps_the_payload_of_nan_and_negative_zero():
    array = np.array([0x7FC00001, 0xFF800001, 0x80000000], np.uint32).view(np.float32)
    assert _round_trip(array)[0].tobytes() == array.tobytes()


def test_pack_keeps_values_of_any_memory_order():
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    for view in (array, array[::-1], np.asfortranarray(array)):
        np.testing.assert_array_equal(_round_trip(view)[0], view)


def test_pack_cuts_parts_that_join_in_number_order():
    array = np.random.default_rng(0).integers(0, 256, 12 * PART_BYTES, dtype=np.uint8)
    back, rows, parts = _round_trip(array)
    sizes = [len(part["data"]) for part in parts]
    assert len(parts) > 10
    assert max(sizes) == PART_BYTES
    assert sum(sizes) == rows[0]["stored_bytes"]
    np.testing.assert_array_equal(back, array)


def test_pack_refuses_objects_and_empty_names():
    with pytest.raises(ValueError, match="'a' has dtype object"):
        packing.pack("run", {"a": np.array([None])})
    with pytest.raises(ValueError, match="empty name"):
        packing.pack("run", {"": np.zeros(1)})


def test_columns_come_back_with_their_names() -> None:
    columns = np.zeros(3, [("node", np.int32), ("share", np.float64)])
    columns["node"], columns["share"] = [1, 2, 3], [0.5, np.nan, -1]
    back, *_ = _round_trip(columns)
    assert back.dtype == columns.dtype
    assert back.tobytes() == columns.tobytes()
    with pytest.raises(ValueError, match="store numbers or bools"):
        packing.pack("run", {"a": np.zeros(1, [("name", "U3")])})
