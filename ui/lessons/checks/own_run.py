"""The visitor's own run differs from the lesson's in one thing, and shows a property."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tokenarium.backend import CacheResult, TraceResult, UserError
from tokenarium.ui.components.colouring import COLOURINGS, attention_share
from tokenarium.ui.lessons.checks import check
from tokenarium.ui.lessons.checks.policies import MEASURES
from tokenarium.ui.lessons.seen import Seen, Verdict

SAME = ("seed", "dtype", "logit_lens", "plain", "noise")
"""What may differ: no page asks for it, or it measures something beside."""
NAMES = {"max_new_tokens": "new tokens", "draft_len": "draft length", "tree_budget": "tree budget"}


@check
def own_run(seen: Seen, changed: str) -> Verdict:
    """Say whether the run in sight differs from the one the step opened with in one field alone.

    Args:
        seen: what is in sight.
        changed: the field of the request that a student shall change.
    """
    if seen.run.id == seen.begun.id:
        return Verdict(
            False, f"This is still the stored run; change the {_name(changed)} and press Run."
        )
    if type(seen.run.request) is not type(seen.begun.request):
        return Verdict(False, "This run is of another kind; press Start again and change that one.")
    differ = _different(seen.begun.request.model_dump(), seen.run.request.model_dump())
    if changed not in differ:
        return Verdict(False, f"The {_name(changed)} is as before; change it and press Run.")
    if others := [name for name in differ if name != changed]:
        names = ", ".join(_name(name) for name in others)
        return Verdict(
            False,
            f"You changed more than the {_name(changed)}: {names} too. Press Start again, then "
            f"change the {_name(changed)} alone.",
        )
    return Verdict(True, f"Your run differs in one thing: the {_name(changed)}.")


@check
def first_gets_most(seen: Seen) -> Verdict:
    """Say whether the first token gets more attention than any other, and another one than before.

    A text that begins with the same token would not show that the place makes the sink.
    """
    shares = attention_share(seen.trace)
    place = int(np.nanargmax(shares))
    if seen.trace.token_ids[0] == seen.begun.result.token_ids[0]:  # type: ignore[attr-defined]
        return Verdict(
            False, f"Your text begins with {seen.token(0)} as well; begin it with another one."
        )
    said = f"{seen.token(place)} (token {place}) gets the most attention, {shares[place]:.0f} %"
    if place == 0:
        return Verdict(True, f"{said}: another token comes first, and again it is the first place.")
    return Verdict(False, f"{said}, not the first one; try a text of a few sentences.")


@check
def cost_rose(seen: Seen, policy: str) -> Verdict:
    """Say whether a policy changes the predictions more than in the stored run."""
    before, now = (_kl_of(each, policy) for each in (seen.begun.result, seen.run.result))
    said = f"It changed the predictions by {before:.3f} nats before, and {now:.3f} now"
    if now > before:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; try a smaller budget, so that more must go.")


@check
def same_text(seen: Seen) -> Verdict:
    """Say whether drafting wrote what the large model writes alone."""
    result = seen.speculation
    if not len(result.plain_ids):
        return Verdict(False, "The large model did not write alone beside it: leave that on.")
    calls = f"{result.tokens_per_target_call:.1f} tokens a pass of the large model"
    if np.array_equal(result.plain_ids, result.token_ids[: len(result.plain_ids)]):
        return Verdict(True, f"{calls}, and the text is the same, token by token.")
    return Verdict(False, f"{calls}, but the text differs; set the temperature to 0.")


@check
def more_tokens_a_word(seen: Seen) -> Verdict:
    """Say whether the text takes more tokens for a word than that of the stored run."""
    old, new = _tokens_a_word(seen.begun.result), _tokens_a_word(seen.run.result)
    said = f"The stored text has {old:.2f} tokens a word, yours {new:.2f}"
    if new > old:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}; try invented words, or another language.")


@check
def highest_rose(seen: Seen, metric: str) -> Verdict:
    """Say whether some token has more of a colouring than any of the stored run."""
    values = COLOURINGS[metric].values
    begun, now = seen.begun.result, seen.trace
    assert isinstance(begun, TraceResult)
    old = float(np.nanmax(values(begun, 0, 0)))
    mine = np.asarray(values(now, 0, 0), float)
    place, new = int(np.nanargmax(mine)), float(np.nanmax(mine))
    unit = COLOURINGS[metric].described(now)["unit"]
    title = COLOURINGS[metric].title
    said = f"Your highest {title} is {new:.1f} {unit}, at {seen.token(place)}; before, {old:.1f}"
    if new > old:
        return Verdict(True, f"{said}.")
    return Verdict(False, f"{said}. Try a word that fits still less.")


@check
def holds_line(seen: Seen, policy: str, kl: float) -> Verdict:
    """Say whether a policy changes the predictions by at most ``kl`` nats, and saves memory."""
    result = seen.cache
    found = _kl_of(result, policy)
    known = dict(zip(result.policies, result.runs, strict=True))
    if "full" not in known:
        return Verdict(False, "The full cache is not in your run: choose the policies as before.")
    share = MEASURES["bytes"][0](known[policy]) / MEASURES["bytes"][0](known["full"])
    title = result.titles[result.policies.index(policy)]
    said = f"{title} changes the predictions by {found:.3f} nats at {share:.0%} of the memory"
    if found <= kl and share < 1:
        return Verdict(True, f"{said}.")
    more = "try a larger budget" if found > kl else "try a smaller budget, so that it saves some"
    return Verdict(False, f"{said}; look for {kl:g} nats or less: {more}.")


def _tokens_a_word(result: Any) -> float:
    assert isinstance(result, TraceResult)
    words = len((result.text or "").split())
    return result.length / words if words else float("nan")


def _kl_of(result: Any, policy: str) -> float:
    assert isinstance(result, CacheResult)
    known = dict(zip(result.policies, result.runs, strict=True))
    if policy not in known:
        raise UserError(f"{policy} is not among the policies of this run: leave them as they were")
    return MEASURES["kl"][0](known[policy])


def _different(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [name for name in before if before[name] != now.get(name) and name not in SAME]


def _name(field: str) -> str:
    return NAMES.get(field, field.replace("_", " "))
