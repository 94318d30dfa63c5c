"""What the inputs of attention must satisfy, refused in words."""

from torch import Tensor

from tokenarium.kernels.attention_stats.declaration import Want


def check_shapes(q: Tensor, k: Tensor, v: Tensor | None = None) -> None:
    """Refuse tensors that do not fit each other.

    Args:
        q: [H, T, D].
        k: [G, S, D].
        v: [G, S, Dv].
    Raises:
        ValueError: if they do not fit, or there is no query or no key.
    """
    values = k if v is None else v
    fit = q.shape[2] == k.shape[2] and k.shape[:2] == values.shape[:2]
    if not fit or not q.shape[1] or not k.shape[1] or q.shape[0] % k.shape[0]:
        shown = "" if v is None else f", v {tuple(v.shape)}"
        raise ValueError(
            f"q {tuple(q.shape)}, k {tuple(k.shape)}{shown} do not fit: they are [H, T, D], "
            "[G, S, D] and [G, S, Dv] with H a multiple of G, T and S at least 1"
        )


def check_want(want: Want, queries: int, keys: int) -> None:
    """Refuse positions and counts that ``queries`` queries over ``keys`` keys do not have.

    Raises:
        ValueError: for a column, ``last`` or ``segments`` out of range.
    """
    outside = [column for column in want.columns if not 0 <= column < keys]
    if outside:
        raise ValueError(
            f"columns={outside} are not among the {keys} keys: name positions 0 to {keys - 1}"
        )
    for name, count in (("last", want.last), ("segments", want.segments)):
        if not 0 <= count <= queries:
            raise ValueError(
                f"{name}={count} is not between 0 and the {queries} queries: lower it to at most "
                f"{queries}"
            )
