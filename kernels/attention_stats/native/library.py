"""The compiled kernels' functions and the structures that they read."""

import ctypes
from pathlib import Path
from typing import Protocol, cast

_POINTER, _INTEGER, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class Library(Protocol):
    """What the C files export; structures are handed over by ``byref``."""

    def attention_memory(self, layer: object) -> int:
        """Return the bytes of memory that a job of a layer needs."""

    def attention_job(self, layer: object, job: object, memory: object) -> None:
        """Compute some queries of one key-value group; other threads may go on."""

    def attention_add(self, layer: object, job: object) -> None:
        """Add what a job summed over queries to the layer's sums."""

    def vocab_rows(self, rows: object, start: int, stop: int) -> None:
        """Compute some rows of logits; other threads may go on."""

    def prob_rows(self, rows: object, start: int, stop: int) -> None:
        """Compute some rows of probabilities; other threads may go on."""

    def nearest(self, probs: int, size: int, token: int, count: int, ids: int) -> None:
        """Write a token's neighbours by probability; arrays by address."""

    def drawn(self, probs: int, size: int, uniform: float) -> int:
        """Return the token that a number in [0, 1) draws."""

    def left_over(self, probs: int, other: int, size: int, out: int) -> None:
        """Write what one distribution has above another, as a distribution."""

    def chosen_products(self, given: object, start: int, stop: int) -> None:
        """Write products of queries with some of the chosen keys; other threads may go on."""

    def chosen_sums(self, given: object) -> None:
        """Write sums of the chosen values."""


def _fields(kind: type, names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


class Layer(ctypes.Structure):
    """``Layer`` of ``attention.c``, in its order."""

    _fields_ = (
        *_fields(_POINTER, "q k v sinks mask factors"),
        *_fields(_POINTER, "cuts tile_rows segment_of key_edges column_keys diagonal_backs"),
        *_fields(_POINTER, "out entropy distance columns diagonals"),
        *_fields(_POINTER, "received last segments decayed tile_sums tile_peaks"),
        *_fields(_INTEGER, "q_head q_query k_group v_group mask_head mask_query"),
        *_fields(_INTEGER, "heads per_group queries keys size value_size value_width"),
        *_fields(_INTEGER, "offset window rows column_count diagonal_count factor_count"),
        *_fields(_INTEGER, "last_piece segment_count tile_row_count tile_column_count"),
        *_fields(_FLOAT, "scaling softcap"),
        *_fields(_INTEGER, "keeps"),
    )


class Job(ctypes.Structure):
    """``Job`` of ``attention.c``, in its order."""

    _fields_ = (
        *_fields(_INTEGER, "group start stop oldest width first_piece beyond_piece"),
        *_fields(_INTEGER, "factor_count"),
        *_fields(_POINTER, "factor_rows pieces peaks decayed"),
    )


class Rows(ctypes.Structure):
    """``Rows`` of ``vocab.c``, in its order."""

    _fields_ = (
        *_fields(_POINTER, "logits targets other probs"),
        *_fields(_POINTER, "logsumexp entropy varentropy surprisal crossed top_probs"),
        *_fields(_POINTER, "rank top_ids"),
        *_fields(_INTEGER, "vocabulary stride other_stride k rounded"),
    )


class Probs(ctypes.Structure):
    """``Probs`` of ``vocab.c``, in its order."""

    _fields_ = (
        *_fields(_POINTER, "probs other entropy crossed overlap top_probs top_ids"),
        *_fields(_INTEGER, "vocabulary stride other_stride k"),
    )


class Chosen(ctypes.Structure):
    """``Chosen`` of ``chosen.c``, in its order."""

    _fields_ = (
        *_fields(_POINTER, "q rows at out"),
        *_fields(_INTEGER, "groups count size width q_group q_row group row"),
    )


def load(path: Path) -> Library:
    """Open the compiled kernels.

    Raises:
        OSError: if it is no library for this processor.
        AttributeError: if it lacks a function.
    """
    library = ctypes.CDLL(str(path))
    library.attention_memory.argtypes = [_POINTER]
    library.attention_memory.restype = _INTEGER
    library.attention_job.argtypes = [_POINTER, _POINTER, _POINTER]
    library.attention_job.restype = None
    library.attention_add.argtypes = [_POINTER, _POINTER]
    library.attention_add.restype = None
    library.vocab_rows.argtypes = [_POINTER, _INTEGER, _INTEGER]
    library.vocab_rows.restype = None
    library.prob_rows.argtypes = [_POINTER, _INTEGER, _INTEGER]
    library.prob_rows.restype = None
    library.nearest.argtypes = [_POINTER, _INTEGER, _INTEGER, _INTEGER, _POINTER]
    library.nearest.restype = None
    library.drawn.argtypes = [_POINTER, _INTEGER, ctypes.c_double]
    library.drawn.restype = _INTEGER
    library.left_over.argtypes = [_POINTER, _POINTER, _INTEGER, _POINTER]
    library.left_over.restype = None
    library.chosen_products.argtypes = [_POINTER, _INTEGER, _INTEGER]
    library.chosen_products.restype = None
    library.chosen_sums.argtypes = [_POINTER]
    library.chosen_sums.restype = None
    return cast(Library, library)
