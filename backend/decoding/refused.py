"""What does not go together in a decoding run, said before anything is computed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenarium.backend.cache.request import PolicySpec
    from tokenarium.backend.decoding.request import InterventionSpec
    from tokenarium.backend.decoding.strategy import Strategy


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
