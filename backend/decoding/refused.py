"""What does not go together in a decoding run, said before anything is computed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenarium.backend.cache.request import PolicySpec
    from tokenarium.backend.decoding.request import InterventionSpec
    from tokenarium.backend.decoding.strategy import Strategy
    from tokenarium.backend.speculation.request import DrafterSpec


def refuse_apart(
    asked: "Sequence[Strategy]",
    policy: "PolicySpec | None",
    interventions: "Sequence[InterventionSpec]",
) -> None:
    """Refuse strategies that cannot read under a policy or with interventions.

    Args:
        asked: the strategies that are asked for.
        policy: that all of them are written under; None for the full cache.
        interventions: what is changed in all of them.

    Raises:
        ValueError: in words that name the strategy and why.
    """
    if policy is None and not interventions:
        return
    if policy is not None and interventions:
        raise ValueError(
            f"policy={policy.slug!r} and interventions="
            f"{interventions[0].slug!r} are given, and an intervention reads the whole "
            "text anew, without a cache: leave out one of the two"
        )
    for own in asked:
        why = ""
        if own.watches:
            why = f"looks at {' and '.join(own.watches)} inside the model"
        elif own.embeds:
            why = "reads mixtures of embeddings"
        elif policy is not None and own.branches:
            why = "tries tokens and goes back, and entries that were dropped do not come back"
        if why:
            name = "policy" if policy is not None else "interventions"
            raise ValueError(
                f"strategies={own.slug!r} {why}, which is not done under {name}: leave it out, or "
                f"leave {name} out"
            )


def refuse_undrafted(
    asked: "Sequence[Strategy]",
    drafter: "DrafterSpec",
    policy: "PolicySpec | None",
    interventions: "Sequence[InterventionSpec]",
) -> None:
    """Refuse strategies that a drafter cannot read ahead for.

    Args:
        asked: the strategies that are asked for.
        drafter: that guesses.
        policy: that all of them are written under; None for the full cache.
        interventions: what is changed in all of them.

    Raises:
        ValueError: in words that name the strategy and why.
    """
    if policy is not None or interventions:
        other = "policy" if policy is not None else "interventions"
        raise ValueError(
            f"drafter={drafter.slug!r} and {other} are given, and guesses are read over the full "
            "cache of the unchanged model: leave out one of the two"
        )
    for own in asked:
        if why := _undrafted(own):
            able = [one.slug for one in own.registry.all() if not _undrafted(one())]
            raise ValueError(
                f"strategies={own.slug!r} {why}, so that nothing is guessed ahead for it: choose "
                f"of {', '.join(able)}, or leave the drafter out"
            )


def _undrafted(own: "Strategy") -> str:
    """Return why nothing is guessed ahead for a strategy; empty where it can be."""
    if own.branches:
        return "tries tokens itself and goes back"
    if own.watches:
        return f"looks at {' and '.join(own.watches)} inside the model"
    if own.embeds:
        return "reads mixtures of embeddings"
    return "reads with a second model" if own.small is not None else ""
