"""The press of kvpress that comes nearest to a policy, as a call that can be copied.

Names and arguments are those of kvpress 0.5.4 and 0.5.5.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class KVPressCall:
    """A press with its arguments."""

    call: str
    """Python that makes the press, such as ``KnormPress(compression_ratio=0.75)``."""
    imports: tuple[str, ...]
    """Names that it takes from ``kvpress``."""
    differs: tuple[str, ...] = ()
    """What the press does otherwise, in sentences."""


def press(
    name: str, compression_ratio: str, *, differs: tuple[str, ...] = (), **arguments: object
) -> KVPressCall:
    """Return the call of a press that scores entries.

    Args:
        name: of the press.
        compression_ratio: as Python, such as ``0.75``.
        differs: what it does otherwise.
        arguments: its others.
    """
    given = {"compression_ratio": compression_ratio} | {n: repr(v) for n, v in arguments.items()}
    inside = ", ".join(f"{argument}={value}" for argument, value in given.items())
    return KVPressCall(f"{name}({inside})", (name,), differs)


def around(
    name: str, inner: KVPressCall, *, differs: tuple[str, ...] = (), **arguments: object
) -> KVPressCall:
    """Return the call of a press that is put around another one."""
    more = "".join(f", {argument}={value!r}" for argument, value in arguments.items())
    call = f"{name}(press={inner.call}{more})"
    return KVPressCall(call, (name, *inner.imports), (*inner.differs, *differs))
