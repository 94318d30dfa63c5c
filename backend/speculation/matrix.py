"""Which drafters and rules go together without biasing the output, and why others do not."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.rule import Promise, Rule
from tokenarium.backend.speculation.tree import Draw

if TYPE_CHECKING:
    from tokenarium.backend.speculation.enumeration import Bias

HOW: dict[Draw, str] = {
    "deterministic": "picked without chance",
    "iid": "drawn independently, so that a token may come twice",
    "without_replacement": "drawn so that no token comes twice",
}
"""How children are drawn, in words that follow "children"."""


@dataclass(frozen=True)
class Pair:
    """Whether a drafter and a rule go together."""

    drafter: str
    rule: str
    reason: str | None
    """Why they do not go together; None where they do, at the temperatures the rule is for."""
    promise: Promise
    """Of the rule, where they do."""
    greedy_only: bool
    """Whether the rule is for temperature 0; else for above 0."""


@dataclass(frozen=True)
class _Drafts:
    """The properties of a drafter that decide."""

    name: str
    draw: Draw
    branches: bool
    prunes: bool


def why_not(
    drafter: type[Drafter] | Draw,
    rule: type[Rule],
    temperature: float,
    branches: bool | None = None,
    prunes: bool | None = None,
) -> str | None:
    """Return why a rule would not keep its promise, or None where it does.

    Args:
        drafter: or how children are drawn.
        rule: tests them.
        temperature: of the target.
        branches: whether a node may have several children; None as the drafter declares.
        prunes: whether drawn nodes may be left out unverified; None as the drafter declares.
    """
    if isinstance(drafter, str):
        drafts = _Drafts("this drafter", drafter, branches is not False, bool(prunes))
    else:
        drafts = _Drafts(
            drafter.title,
            drafter.draw,
            drafter.branches if branches is None else branches,
            drafter.prunes if prunes is None else prunes,
        )
    reason = _obstacle(drafts, rule, temperature)
    if reason is None:
        return None
    fitting = [
        other.slug
        for other in Rule.registry.all()
        if other.promise == "lossless" and _obstacle(drafts, other, temperature) is None
    ]
    return f"{reason}: choose rule {', '.join(fitting)}"


def refuse_unless_exact(
    drafter: type[Drafter], rule: type[Rule], temperature: float, branches: bool | None = None
) -> None:
    """Refuse a pair whose output would not be what the rule promises.

    Raises:
        ValueError: naming the reason, and rules that go with the drafter.
    """
    if reason := why_not(drafter, rule, temperature, branches):
        raise ValueError(f"drafter={drafter.slug!r} with rule={rule.slug!r}: {reason}")


def valid_rules(drafter: type[Drafter], temperature: float) -> tuple[type[Rule], ...]:
    """Return the rules that keep their promise, lossless ones first."""
    fitting = [rule for rule in Rule.registry.all() if why_not(drafter, rule, temperature) is None]
    return tuple(sorted(fitting, key=lambda rule: rule.promise != "lossless"))


def default_rule(drafter: type[Drafter], temperature: float) -> type[Rule]:
    """Return the lossless rule to use where none is named.

    That of transformers where it drafts alike, else one that reads the draft's distribution, which
    accepts more than one that does not.
    """
    lossless = [rule for rule in valid_rules(drafter, temperature) if rule.promise == "lossless"]

    def order(rule: type[Rule]) -> tuple[bool, bool, bool]:
        known = rule.slug == drafter.assisted_rule
        return not known, not rule.needs_draft_probs, rule.max_children is None

    return min(lossless, key=order)


def pairs(temperature: float | None = None) -> tuple[Pair, ...]:
    """Return every pair of a drafter and a rule.

    Args:
        temperature: of the target; None for what each rule is made for.
    """

    def asked(rule: type[Rule]) -> float:
        made_for = 0.0 if rule.greedy_only else 1.0
        return made_for if temperature is None else temperature

    return tuple(
        Pair(
            drafter.slug,
            rule.slug,
            why_not(drafter, rule, asked(rule)),
            rule.promise,
            rule.greedy_only,
        )
        for drafter in Drafter.registry.all()
        for rule in Rule.registry.all()
    )


def _obstacle(drafts: _Drafts, rule: type[Rule], temperature: float) -> str | None:
    if rule.greedy_only and temperature > 0:
        return (
            f"{rule.title} always takes the target's likeliest token, which is not sampling at "
            f"temperature {temperature:g}"
        )
    if temperature == 0 and not rule.greedy_only:
        return (
            f"at temperature 0 the target's next token is certain, so that {rule.title} has "
            f"nothing to draw"
        )
    return _wrong_draw(drafts, rule) or _spoilt_draw(drafts, rule) or _too_many(drafts, rule)


def _wrong_draw(drafts: _Drafts, rule: type[Rule]) -> str | None:
    known: set[Draw] = {drafts.draw}
    if not drafts.branches and drafts.draw != "deterministic":
        known = {"iid", "without_replacement"}  # a first draw is the same either way
    if known & rule.exact_for:
        return None
    right = ", or ".join(HOW[draw] for draw in sorted(rule.exact_for))
    reason = (
        f"{rule.title} is right for children {right}; those of {drafts.name} are {HOW[drafts.draw]}"
    )
    if drafts.draw in rule.measured_bias:
        mean, largest = rule.measured_bias[drafts.draw]
        reason += (
            f", and the next token's distribution would be off by {mean:.2f} in the mean and up to "
            f"{largest:.2f} (total variation, over random distributions of 5 tokens)"
        )
    return reason


def _spoilt_draw(drafts: _Drafts, rule: type[Rule]) -> str | None:
    if not drafts.prunes or not rule.needs_draft_probs:
        return None
    return (
        f"{drafts.name} leaves out some of what it drew, so that the children which {rule.title} "
        f"tests are not distributed as it assumes"
    )


def _too_many(drafts: _Drafts, rule: type[Rule]) -> str | None:
    if rule.max_children is None or not drafts.branches:
        return None
    return (
        f"{rule.title} tests at most {rule.max_children} child of a node, and {drafts.name} may "
        f"draft more"
    )


CHILDREN = 2


@dataclass(frozen=True)
class RuleBiases:
    """One rule's output against the target's distribution."""

    rule: str
    title: str
    promise: str
    by_draw: "dict[Draw, Bias]"
    """By how children are drawn; exact, over the same random distributions for every rule."""


@cache
def biases() -> tuple[RuleBiases, ...]:
    """Return every rule that is for temperatures above 0, with two children of every draw."""
    from tokenarium.backend.speculation.enumeration import bias

    return tuple(
        RuleBiases(
            rule.slug,
            rule.title,
            rule.promise,
            {draw: bias(rule(), draw, CHILDREN) for draw in HOW},
        )
        for rule in Rule.registry.all()
        if not rule.greedy_only
    )
