"""The texts of a reduction: shipped passages to calibrate on, and others to measure a loss on."""

import numpy as np

from tokenarium.backend.head_corpus.texts import read_texts
from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.models.text import Tokens, tokenise
from tokenarium.backend.runs.request import TextRequest

CHARACTERS = 12
"""A token, at most about: so much is joined, and then cut to the tokens that are wanted."""
LEAST_TOKENS = 16
"""Of either text."""


def passages(seed: int, characters: int, *, held_out: bool) -> str:
    """Return shipped passages in an order that the seed draws, joined by empty lines.

    Args:
        characters: about how long the text is to be.
        held_out: whether they are of the half that nothing is calibrated on.
    """
    texts = read_texts()
    order = np.random.default_rng(seed).permutation(len(texts))
    half = order[len(texts) // 2 :] if held_out else order[: len(texts) // 2]
    found: list[str] = []
    while sum(map(len, found)) < characters and len(found) < len(half):
        found.append(texts[half[len(found)]])
    return "\n\n".join(found)


def two_texts(
    loaded: LoadedModel, model: str, text: str, tokens: int, seed: int, limit: int
) -> tuple[Tokens, Tokens]:
    """Return the calibration text and the held-out one, each cut to so many tokens.

    Args:
        text: is held out; empty takes passages.
        tokens: of each at most.
        limit: most tokens that may be read.
    Raises: ValueError where there are too few, or more are asked for than may be read.
    """
    if tokens > limit:
        raise ValueError(f"tokens={tokens} is above the limit of {limit}: lower tokens")

    def read(given: str) -> Tokens:
        asked = TextRequest(model=model, text=given, overflow="keep_start")
        found = tokenise(loaded, asked, tokens)
        if len(found.ids) < LEAST_TOKENS:
            raise ValueError(
                f"the text is {len(found.ids)} tokens, the least is {LEAST_TOKENS}: give a longer "
                "one, or none to read shipped passages"
            )
        return found

    length = tokens * CHARACTERS
    chosen = text or passages(seed, length, held_out=True)
    return read(passages(seed, length, held_out=False)), read(chosen)
