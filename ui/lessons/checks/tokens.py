"""The chosen token has a property."""

import numpy as np

from tokenarium.backend import CLASSES, token_classes
from tokenarium.ui.components.colouring import COLOURINGS
from tokenarium.ui.lessons.checks import check
from tokenarium.ui.lessons.seen import Seen, Verdict

ORDER = {1: "highest", 2: "second highest", 3: "third highest"}


@check
def token_among_highest(seen: Seen, metric: str, most: float, skip_first: float = 0) -> Verdict:
    """Say whether the chosen token is among the ``most`` highest of a colouring of the strip.

    Args:
        seen: what is in sight.
        metric: name of the colouring, as in the address.
        most: how many count as the highest.
        skip_first: 1 leaves the first token out.
    """
    colouring, place = COLOURINGS[metric], seen.chosen.token
    values = np.array(colouring.values(seen.trace, seen.chosen.layer, seen.chosen.head), float)
    said = f"{seen.token(place)} (token {place}): {_shown(values[place], metric, seen)}"
    if skip_first:
        values[0] = np.nan
        if place == 0:
            return Verdict(False, "That is the first token, which is left out here.")
    rank = int(np.nansum(values > values[place])) + 1
    if np.isfinite(values[place]) and rank <= most:
        return Verdict(True, f"{said}, the {ORDER.get(rank, f'{rank}th highest')} here.")
    top = float(np.nanmax(values))
    which = "the highest" if most == 1 else f"one of the {most:.0f} highest"
    return Verdict(False, f"{said}; look for {which}, up to {_number(top)}{_unit(metric, seen)}.")


@check
def token_at_most(seen: Seen, metric: str, value: float) -> Verdict:
    """Say whether the chosen token has at most ``value`` of a colouring."""
    found, said = _of_token(seen, metric)
    less = " or less" if value > 0 else ""
    return Verdict(
        found <= value, f"{said}." if found <= value else f"{said}; look for {value:g}{less}."
    )


@check
def token_at_least(seen: Seen, metric: str, value: float) -> Verdict:
    """Say whether the chosen token has at least ``value`` of a colouring."""
    found, said = _of_token(seen, metric)
    return Verdict(
        found >= value, f"{said}." if found >= value else f"{said}; look for {value:g} or more."
    )


@check
def token_class_is(seen: Seen, kind: str) -> Verdict:
    """Say whether the chosen token is of a class, such as ``punctuation``."""
    place = seen.chosen.token
    found = CLASSES[token_classes(seen.trace)[place]]
    said = f"{seen.token(place)} (token {place}) is: {found}"
    if found == kind:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; look for one that is: {kind}.")


@check
def token_continues_word(seen: Seen) -> Verdict:
    """Say whether the chosen token goes on with a word that the token before it began."""
    place, texts = seen.chosen.token, seen.trace.token_text
    before = texts[place - 1] if place else ""
    said = f"{seen.token(place)} (token {place})"
    if texts[place][:1].isalpha() and before[-1:].isalpha():
        return Verdict(True, f"{said} goes on with a word: {before.strip()} + {texts[place]}.")
    return Verdict(False, f"{said} begins anew; look for a piece that goes on with a word.")


@check
def token_is_special(seen: Seen) -> Verdict:
    """Say whether the chosen token is a special one, which no text spells."""
    place, result = seen.chosen.token, seen.trace
    ids = result.special_id if result.special_id is not None else result.special
    said = f"{seen.token(place)} (token {place})"
    if ids[place]:
        return Verdict(True, f"{said} is a special token.")
    return Verdict(False, f"{said} is ordinary text; look for one in angle brackets.")


@check
def sure_but_wrong(seen: Seen, sure: float, surprise: float) -> Verdict:
    """Say whether the chosen token came as a surprise although the model had little doubt.

    Args:
        seen: what is in sight.
        sure: most entropy, in nats, after the token before it.
        surprise: least surprisal of the token itself, in nats.
    """
    place, result = seen.chosen.token, seen.trace
    if place == 0:
        return Verdict(False, "Nothing comes before the first token; choose a later one.")
    doubt = float(result.entropy_nats[place - 1])
    came = float(result.surprisal_nats[place])
    said = (
        f"Before {seen.token(place)} (token {place}) the entropy was {doubt:.1f} nats, and its "
        f"surprisal is {came:.1f}"
    )
    if doubt <= sure and came >= surprise:
        return Verdict(True, f"{said}: sure, and wrong.")
    return Verdict(False, f"{said}; look for {sure:g} or less before, and {surprise:g} or more.")


def _of_token(seen: Seen, metric: str) -> tuple[float, str]:
    place = seen.chosen.token
    values = COLOURINGS[metric].values(seen.trace, seen.chosen.layer, seen.chosen.head)
    found = float(values[place])
    return found, f"{seen.token(place)} (token {place}): {_shown(found, metric, seen)}"


def _shown(value: float, metric: str, seen: Seen) -> str:
    if not np.isfinite(value):
        return f"no {COLOURINGS[metric].title}"
    return f"{COLOURINGS[metric].title} {_number(value)}{_unit(metric, seen)}"


def _unit(metric: str, seen: Seen) -> str:
    unit = COLOURINGS[metric].described(seen.trace)["unit"]
    return f" {unit}" if unit else ""


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 20 else f"{value:.2g}"
