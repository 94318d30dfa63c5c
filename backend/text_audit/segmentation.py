"""Where only text is given at temperature 0: other tokens that spell it, where its own fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tokenarium.backend.models.loaded import LoadedModel
from tokenarium.backend.speculation.distribution import Processors
from tokenarium.backend.text_audit.measured import Measured, joined, measured
from tokenarium.backend.text_audit.reading import Rows, rows_of
from tokenarium.backend.text_audit.tokens import encoded, spelled

MOST_CUTS = 16
"""Other ways to cut the text that are read."""
_LIKELY = 8


@dataclass(frozen=True)
class Followed:
    """The tokens by which a text was followed as far as the model goes along."""

    ids: tuple[int, ...]
    found: Measured
    recut: int
    """How often a token was taken that the tokenizer would not have taken."""
    open: bool
    """Whether another cut, not read here, might have gone further."""


def follow_text(
    loaded: LoadedModel,
    prompt: Sequence[int],
    ids: Sequence[int],
    text: str,
    processors: Processors,
    tolerance: float,
    check: Callable[[], None],
) -> Followed:
    """Read a text by the tokens that the model itself would take, wherever they spell it.

    A model may have written a word with other tokens than its tokenizer would: where the cut's
    token is farther from the likeliest than the tolerance, a token within it that also spells what
    follows is taken in its place, and the rest is cut anew.

    Args:
        loaded: the model.
        prompt: tokens before.
        ids: the tokenizer's own tokens of the text.
        text: what was generated.
        processors: at temperature 0.
        tolerance: logits closer than this may change places.
        check: raises to stop.
    """
    taken, recut, unsure = tuple(ids), 0, False
    for _ in range(MOST_CUTS):
        parts: list[Measured] = []
        ways: list[list[int]] = []
        for rows in rows_of(loaded, prompt, taken, processors, check):
            parts.append(measured(rows))
            ways += _within(rows, tolerance)
        found = joined(parts)
        failed = next((at for at, gap in enumerate(found.gap) if gap > tolerance), None)
        upto = len(taken) if failed is None else failed
        unsure = unsure or any(
            _spells(loaded, prompt, (*taken[:at], other), text)
            for at in range(upto)
            for other in ways[at]
            if other != taken[at]
        )
        if failed is None:
            return Followed(taken, found, recut, open=False)
        fits = [w for w in ways[failed] if _spells(loaded, prompt, (*taken[:failed], w), text)]
        again = _recut(loaded, prompt, (*taken[:failed], fits[0]), text) if fits else None
        if again is None:
            return Followed(taken, found, recut, open=unsure or bool(fits))
        taken, recut = again, recut + 1
        unsure = unsure or len(fits) > 1
    return Followed(taken, found, recut, open=True)


def _within(rows: Rows, tolerance: float) -> list[list[int]]:
    """Return for each row the tokens within the tolerance of the likeliest, that one first."""
    best = rows.logits.topk(min(_LIKELY, rows.logits.shape[-1]), -1)
    near = best.values >= best.values[:, :1] - tolerance
    pairs = zip(best.indices.tolist(), near.tolist(), strict=True)
    return [[key for key, mark in zip(*pair, strict=True) if mark] for pair in pairs]


def _spells(loaded: LoadedModel, prompt: Sequence[int], ids: Sequence[int], text: str) -> bool:
    """Whether ids spell a beginning of the text, half a character at the end aside."""
    with torch.inference_mode():
        said = spelled(loaded, prompt, ids)
    whole = said.rstrip("\ufffd")
    return text.startswith(whole) and (said != "" or not text)


def _recut(
    loaded: LoadedModel, prompt: Sequence[int], begun: Sequence[int], text: str
) -> tuple[int, ...] | None:
    """Return ids that begin as given and spell the whole text; None where none are found."""
    said = spelled(loaded, prompt, begun)
    if not text.startswith(said):  # it ends within a character
        return None
    whole = (*begun, *encoded(loaded, text[len(said) :]))
    return whole if spelled(loaded, prompt, whole) == text else None
