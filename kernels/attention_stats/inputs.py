"""The inputs of one attention layer, checked once and handed on as one value."""

from dataclasses import dataclass

from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Want


@dataclass(frozen=True, eq=False)
class AttentionInput:
    """Queries, keys and values of one layer, and what decides its logits.

    Query i stands at position ``first + i`` of the keys and sees position j where
    ``j <= first + i`` and, with a window, ``j > first + i - window``. Grouped-query attention: H
    query heads share G key-value heads, in order.

    Raises:
        ValueError: if the shapes do not fit each other, or there is no query or no key.
    """

    q: Tensor
    """[H, T, D], after position encoding; H a multiple of G."""
    k: Tensor
    """[G, S, D]"""
    v: Tensor
    """[G, S, Dv]"""
    scaling: float
    """Factor on the logits q k."""
    offset: int | None = None
    """Position of query 0; S - T where None."""
    window: int | None = None
    """Most keys a query sees, itself included."""
    softcap: float | None = None
    """c bounds the logits as c tanh(x / c)."""
    sinks: Tensor | None = None
    """[H] learned logits that join the denominator without a key, so that a row sums to 1 less the
    sink's share."""
    mask: Tensor | None = None
    """[1 or H, T, S] added to the logits; it may hide more pairs, not show others, and leaves every
    query at least one key."""

    def __post_init__(self) -> None:
        q, k, v = self.q, self.k, self.v
        fit = q.shape[2] == k.shape[2] and k.shape[:2] == v.shape[:2]
        if not fit or not q.shape[1] or not k.shape[1] or q.shape[0] % k.shape[0]:
            raise ValueError(
                f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)} do not fit: they are "
                "[H, T, D], [G, S, D] and [G, S, Dv] with H a multiple of G, T and S at least 1"
            )

    @property
    def query_count(self) -> int:
        """T: number of queries."""
        return self.q.shape[1]

    @property
    def key_count(self) -> int:
        """S: number of keys."""
        return self.k.shape[1]

    @property
    def first(self) -> int:
        """Position of query 0 among the keys."""
        return self.key_count - self.query_count if self.offset is None else self.offset

    def check(self, want: Want) -> None:
        """Refuse statistics of positions and counts that these queries and keys do not have.

        Raises:
            ValueError: for a column, ``last`` or ``segments`` out of range.
        """
        outside = [column for column in want.columns if not 0 <= column < self.key_count]
        if outside:
            raise ValueError(
                f"columns={outside} are not among the {self.key_count} keys: name positions 0 to "
                f"{self.key_count - 1}"
            )
        most = self.query_count
        for name, count in (("last", want.last), ("segments", want.segments)):
            if not 0 <= count <= most:
                raise ValueError(
                    f"{name}={count} is not between 0 and the {most} queries: lower it to at most "
                    f"{most}"
                )
