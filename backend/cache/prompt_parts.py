"""A prompt read in parts: the policy drops after each, or selects what the next ones read."""

from collections.abc import Sequence

from tokenarium.backend.cache.policy import Policy


def lengths_of_parts(tokens: int, chunk: int | None) -> list[int]:
    """Return how many tokens each part of a prompt has: ``chunk`` each, the last as many as are
    left; all at once for None.

    >>> lengths_of_parts(10, 4)
    [4, 4, 2]
    """
    if chunk is None or chunk >= tokens:
        return [tokens]
    whole, left = divmod(tokens, chunk)
    return [chunk] * whole + [left] * bool(left)


def parts_of(ids: Sequence[int], chunk: int | None) -> list[list[int]]:
    """Return the tokens of each part of a prompt."""
    parts, start = [], 0
    for length in lengths_of_parts(len(ids), chunk):
        parts.append(list(ids[start : start + length]))
        start += length
    return parts


def refuse_parts(policy: Policy, tokens: int, chunk: int | None) -> None:
    """Refuse a prompt in parts under a policy that must see all of it at once.

    Args:
        tokens: of the prompt.
        chunk: tokens of a part; None reads all at once.
    Raises:
        ValueError: saying why.
    """
    reason = policy.why_at_once()
    if reason and len(lengths_of_parts(tokens, chunk)) > 1:
        raise ValueError(
            f"prompt_chunk={chunk} reads the prompt's {tokens} tokens in parts, but "
            f"{policy.title} {reason}: leave prompt_chunk out, raise it to at least {tokens}, or "
            "choose another policy"
        )


def told_of_parts(parts: int, chunk: int | None, most_bytes: int) -> list[str]:
    """Return what is to be said of a prompt that was read in so many parts, in sentences.

    Args:
        most_bytes: the most that the cache held meanwhile.
    """
    if parts < 2:
        return []
    return [
        f"the prompt was read in {parts} parts of at most {chunk} token{'s' * (chunk != 1)}, and "
        f"the cache held at most {most_bytes:,} bytes meanwhile; what noise alone would keep is "
        "told of prompts that are read at once only"
    ]
