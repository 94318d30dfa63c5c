"""A trace whose every number is known: each says its own layer, head and token."""

import dataclasses

import numpy as np

from tokenarium.backend import LensResult, TraceResult

LAYERS, HEADS, GROUPS, ALTERNATIVES = 2, 4, 2, 3
FORGETTING = (0.99, 0.9)


def trace(length: int = 5, *, tiles: int = 64, lens: bool = True, **changes: object) -> TraceResult:
    """Return a whole result; ``changes`` replace fields."""
    result = TraceResult(
        **_tokens(length),
        **_heads(length, min(length, tiles)),
        **(_lens(length) if lens else dict.fromkeys(_lens(1))),
        notes=(),
        dropped_tokens=0,
        layers_done=LAYERS,
    )
    return dataclasses.replace(result, **changes)


def unfinished(length: int = 5) -> TraceResult:
    """Return a result of which nothing but the tokens is known yet."""
    empty: dict[str, object] = {}
    for name, values in trace(length).arrays().items():
        if name in ("token_ids", "offsets", "special"):
            continue
        unknown = -1 if values.dtype.kind == "i" else np.nan
        empty[name] = np.full_like(values, unknown)
    words = tuple(("",) * ALTERNATIVES for _ in range(length))
    lens = tuple(("",) * length for _ in range(LAYERS + 1))
    return trace(
        length, **empty, top_text=words, lens_text=lens, layers_done=0, sink_rate=float("nan")
    )


def numbered(*shape: int) -> np.ndarray:
    """Return shape[0] x ... numbers, of which no two are equal, ascending in memory order."""
    return (1 + np.arange(np.prod(shape), dtype=np.float32)).reshape(shape) / 1024


def edges(start: int, stop: int, tiles: int) -> np.ndarray:
    """Return at most tiles + 1 edges from start to stop."""
    return np.linspace(start, stop, min(stop - start, tiles) + 1).astype(np.int32)


def _tokens(length: int) -> dict[str, object]:
    token = np.arange(length, dtype=np.int32)
    surprisal = (token + 0.5).astype(np.float32)
    surprisal[0] = np.nan
    return {
        "token_ids": token + 100,
        "token_text": ("<|bos|>", *(f" w{i}" for i in range(1, length))),
        "offsets": np.stack([np.maximum(0, 3 * (token - 1)), 3 * token], axis=-1),
        "special": token == 0,
        "surprisal_nats": surprisal,
        "entropy_nats": (10 + token).astype(np.float32),
        "varentropy_nats2": (20 + token).astype(np.float32),
        "rank": token - 1,
        "top_ids": token[:, None] + 101 + np.arange(ALTERNATIVES, dtype=np.int32),
        "top_probs": np.tile(np.float32([0.5, 0.25, 0.125]), (length, 1)),
        "top_text": tuple(tuple(f"t{i}k{k}" for k in range(ALTERNATIVES)) for i in range(length)),
        "residual_norm": numbered(LAYERS + 1, length) + 1,
        "residual_median": numbered(LAYERS + 1, length) + 0.5,
        "residual_top_dims": np.tile(np.int32([7, 3, 5]), (LAYERS + 1, length, 1)),
        "residual_top_values": np.tile(np.float32([-90, 40, 20]), (LAYERS + 1, length, 1)),
        "key_norm": numbered(LAYERS, GROUPS, length) + 2,
        "value_norm": numbered(LAYERS, GROUPS, length) + 3,
    }


def _heads(length: int, tiles: int) -> dict[str, object]:
    received = numbered(LAYERS, HEADS, length)
    received[1, 2, 0] = 0.75
    sinks = received[:, :, 0].copy()
    causal = np.tri(tiles, dtype=bool)
    maps = np.where(causal, numbered(LAYERS, HEADS, tiles, tiles), np.nan).astype(np.float32)
    return {
        "received_mass": received,
        "sink_score": sinks,
        "first_mass": numbered(LAYERS, HEADS, length) / 2,
        "decayed_mass": numbered(LAYERS, HEADS, len(FORGETTING), length),
        "forgetting": FORGETTING,
        "persistence": numbered(LAYERS, HEADS, min(8, length) - 1),
        "persistence_chance": numbered(LAYERS, HEADS, min(8, length) - 1) / 2,
        "attention_window": np.zeros(LAYERS, np.int32),
        "context": 1024,
        "attention_entropy_nats": numbered(LAYERS, HEADS, length) + 4,
        "attention_distance": numbered(LAYERS, HEADS, length) + 5,
        "previous_mass": numbered(LAYERS, HEADS) + 6,
        "self_mass": numbered(LAYERS, HEADS) + 7,
        "attention_tiles_mean": maps,
        "attention_tiles_max": maps * 2,
        "sink_threshold": 0.3,
        "sink_rate": float((sinks > 0.3).mean()),
    }


def lens(length: int, rows: tuple[int, ...]) -> LensResult:
    """Return what ``trace`` has of some rows of a text, as a lens of its own."""
    whole = trace(length)
    assert whole.lens_text is not None
    return LensResult(
        rows=np.array(rows, np.int32),
        layers=np.arange(LAYERS + 1, dtype=np.int32),
        row_text=("x",) * len(rows),
        lens_text=tuple(tuple(row[t] for t in rows) for row in whole.lens_text),
        **{name: getattr(whole, name)[:, list(rows)] for name in _LENS_ARRAYS},
        products="bfloat16",
        checked_cells=32,
        entropy_error_nats=0.0123,
        kl_error_nats=0.0456,
        same_first=0.96875,
        length=length,
        notes=(),
    )


_LENS_ARRAYS = ("lens_ids", "lens_entropy_nats", "lens_kl_nats")


def _lens(length: int) -> dict[str, object]:
    shape = (LAYERS + 1, length)
    return {
        "lens_ids": np.arange(np.prod(shape), dtype=np.int32).reshape(shape),
        "lens_text": tuple(
            tuple(f"L{layer}t{t}" for t in range(length)) for layer in range(LAYERS + 1)
        ),
        "lens_entropy_nats": numbered(*shape) + 8,
        "lens_kl_nats": numbered(*shape) + 9,
    }
