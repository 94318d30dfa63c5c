"""Which token is explained, and against which other."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, decode_each


@dataclass(frozen=True)
class Target:
    """The token that is explained."""

    position: int
    """Tokens before it: it stands there, or would come next."""
    token: int
    """Its id."""
    against: int | None
    """Id of the token it is compared with."""

    def log_probability(self, logits: Tensor) -> Tensor:
        """Return [...] ln p(token) of logits [..., V], less ln p(against) where there is one."""
        found = torch.log_softmax(logits.double(), -1)
        value = found[..., self.token]
        return value if self.against is None else value - found[..., self.against]


def position_of(asked: int | None, length: int) -> int:
    """Return how many tokens stand before the token to explain.

    Raises: ValueError where the text has no such token, or nothing before it.
    """
    if asked is None:
        return length
    position = asked + length if asked < 0 else asked
    if not 1 <= position < length:
        raise ValueError(
            f"target={asked} is not between 1 and {length - 1}, the tokens with something before "
            "them: choose one of these, a negative number from the end, or None for what comes next"
        )
    return position


def find_target(
    loaded: LoadedModel,
    tokens: Tokens,
    position: int,
    against: str | None,
    logits: Callable[[], Tensor],
) -> Target:
    """Return the token at ``position``, or the likeliest next one where the text ends there.

    Args:
        loaded: the model.
        tokens: the text.
        position: tokens before it.
        against: text of the other token; None for none.
        logits: [V] after the tokens before it; asked for only where needed.
    """
    next_one = position == len(tokens.ids)
    token = int(logits().argmax()) if next_one else tokens.ids[position]
    return Target(position, token, _other(loaded, token, against))


def _other(loaded: LoadedModel, token: int, against: str | None) -> int | None:
    """Return the id of the token that a text is, written as the explained one is.

    Raises: ValueError where it is several tokens, or the explained one itself.
    """
    if against is None:
        return None
    own = decode_each(loaded, [token])[0]
    spellings = [against]
    if own[:1].isspace() and not against[:1].isspace():
        spellings.insert(0, own[0] + against)
    for spelling in spellings:
        ids = loaded.tokenizer(spelling, add_special_tokens=False, verbose=False)["input_ids"]
        if len(ids) == 1 and ids[0] != token:
            return int(ids[0])
    if any(spelling == own for spelling in spellings):
        raise ValueError(
            f"against={against!r} is the token that is explained: name another one, or none"
        )
    raise ValueError(
        f"against={against!r} is {len(ids)} tokens with the tokenizer of {loaded.name}: name a "
        "word, or a beginning of one, that is one token"
    )
