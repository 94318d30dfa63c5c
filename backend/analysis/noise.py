"""What each attention statistic would be on attention that prefers no token: the noise baseline.

Row i of uniform attention gives 1/m_i to each of the m_i = min(i + 1, w) keys it sees. Statistics
that are linear in the weights (received, accumulated, distance) have the same mean on any random
attention whose logits are exchangeable, so that for these the baseline is what chance alone gives.
For entropy it is the upper end: random attention lies below it.
"""

import numpy as np
from numpy.typing import NDArray

from tokenarium.backend.trace.result import TraceResult

Doubles = NDArray[np.float64]


def seen_keys(length: int, window: int = 0) -> NDArray[np.int64]:
    """Return [T]: how many keys each query sees, itself included.

    Args:
        length: T, tokens.
        window: most keys a query sees, tokens; 0 where it sees all before it.
    Raises: ValueError if length or window is negative.
    """
    if length < 0 or window < 0:
        raise ValueError(
            f"length={length}, window={window}: both count tokens, give 0 or more (window 0: none)"
        )
    keys = np.arange(1, length + 1)
    return np.minimum(keys, window) if window else keys


def accumulated_noise(length: int, window: int = 0, factor: float = 1.0) -> Doubles:
    """Return [T]: accumulated attention of each key on uniform attention.

    That is the sum over queries i >= j that see key j of f^(T-1-i) / m_i, in O(T).

    Args:
        length: T, tokens.
        window: most keys a query sees, tokens; 0 where it sees all before it.
        factor: forgetting factor f in (0, 1]; 1 forgets nothing (A2SF, arXiv:2407.20485).
    Raises: ValueError if factor is outside (0, 1].
    """
    if not 0 < factor <= 1:
        raise ValueError(f"factor={factor} is not within (0, 1]: 1 forgets nothing")
    age = np.arange(length - 1, -1, -1)
    given = np.power(float(factor), age) / seen_keys(length, window)
    if not window:
        backwards: Doubles = np.cumsum(given[::-1])
        return backwards[::-1]
    # Sums from the start: old terms are the smallest, so that their differences keep their digits.
    before: Doubles = np.concatenate([[0.0], np.cumsum(given)])
    key = np.arange(length)
    after: Doubles = before[np.minimum(key + window, length)]
    return after - before[key]


def received_noise(length: int, window: int = 0) -> Doubles:
    """Return [T]: received attention (mean over queries i >= j) of each key on uniform attention.

    Args:
        length: T, tokens.
        window: most keys a query sees, tokens; 0 where it sees all before it.
    """
    return accumulated_noise(length, window) / np.arange(length, 0, -1)


def entropy_noise(length: int, window: int = 0) -> Doubles:
    """Return [T], nats: entropy of each row of uniform attention, ln m_i, the highest there is.

    Args:
        length: T, tokens.
        window: most keys a query sees, tokens; 0 where it sees all before it.
    """
    return np.log(seen_keys(length, window))


def distance_noise(length: int, window: int = 0) -> Doubles:
    """Return [T], tokens: mean distance of each row of uniform attention, (m_i - 1) / 2.

    Args:
        length: T, tokens.
        window: most keys a query sees, tokens; 0 where it sees all before it.
    """
    return (seen_keys(length, window) - 1) / 2


def layer_windows(result: TraceResult) -> list[int]:
    """Return each layer's window, tokens; 0 where it sees all, or is not measured yet."""
    windows: list[int] = np.maximum(result.attention_window, 0).tolist()
    return windows


def accumulated_noise_by_layer(result: TraceResult, factor: float = 1.0) -> Doubles:
    """Return [L, T]: ``accumulated_noise`` with each layer's own window."""
    windows = layer_windows(result)
    rows = {w: accumulated_noise(result.length, w, factor) for w in set(windows)}
    return np.stack([rows[w] for w in windows])


def received_noise_by_layer(result: TraceResult) -> Doubles:
    """Return [L, T]: ``received_noise`` with each layer's own window."""
    return accumulated_noise_by_layer(result) / np.arange(result.length, 0, -1)
