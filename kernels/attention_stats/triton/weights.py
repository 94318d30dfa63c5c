"""What every kernel does alike to get from queries and keys to logits, in units of log2."""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
HIDDEN = tl.constexpr(-1e30)
"""Finite: minus infinity less minus infinity would be NaN."""


@triton.jit
def product(a, b, upcast: tl.constexpr):
    """Return a b in float32; ``upcast`` because the interpreter multiplies bfloat16's raw bits."""
    if upcast:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def scaled(products, factor, cap):
    """Turn products q k into logits; with a cap c the factor is 2 / c and this is c tanh(x / c)."""
    logits = products * factor
    if cap is not None:
        logits = cap * (1.0 - 2.0 / (1.0 + tl.exp2(logits)))
    return logits


@triton.jit
def biased(logits, bias):
    """Add a mask's values; what it hides stays finite."""
    return tl.maximum(logits + bias.to(tl.float32) * LOG2_E, HIDDEN)


@triton.jit
def hidden(logits, position, key, keys, window):
    """Hide what a query at ``position`` may not see; the two broadcast to the logits."""
    seen = (key <= position) & (key < keys)
    if window is not None:
        seen = seen & (key > position - window)
    return tl.where(seen, logits, HIDDEN)
