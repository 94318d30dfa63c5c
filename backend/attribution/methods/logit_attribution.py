"""What each head and MLP writes towards the target, and from which tokens heads take it."""

from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.attribution.attributor import Attribution, Attributor, Needs

if TYPE_CHECKING:
    from tokenarium.backend.attribution.game import Game


class LogitAttribution(Attributor):
    """Score of token j: the sum over heads of a_j (v_j W_O) . d, a of the last position.

    d is the direction in which the residual raises the target's logit over the other token's, or
    over the mean of all logits; the final norm's scale stays what it was.
    """

    slug = "logit_attribution"
    title = "Direct logit attribution"
    explanation = (
        "Splits the target's logit into what each head and MLP wrote at the last position, and "
        "what heads wrote into the tokens they read it from; what earlier layers did to those "
        "tokens is not followed."
    )
    paper = (
        "Elhage et al., 2021, transformer-circuits.pub/2021/framework; Wang et al., 2022, "
        "arXiv:2211.00593"
    )
    differs = "without a token to compare with, the logit is taken over the mean of all logits"
    needs: ClassVar[Needs] = "attention"
    unit = "nats"

    def passes(self, units: int, tokens: int) -> int:  # noqa: ARG002
        """One reading to see where layers write, one that is split."""
        return 3

    def attribute(self, game: "Game") -> Attribution:
        """Return the sums of all heads by unit, and the parts by layer."""
        from tokenarium.backend.attribution.direct import split

        found = split(game)
        total = float(found.by_head.sum() + found.mlp.sum() + sum(found.rest.values()))
        over = "the other token's" if game.target.against is not None else "the mean of all logits"
        note = (
            f"the logit is {total:.3f} over {over}: heads {found.by_head.sum():.3f}, MLPs "
            f"{found.mlp.sum():.3f}"
            + "".join(f", {name} {value:.3f}" for name, value in found.rest.items())
        )
        return Attribution(
            game.by_unit(found.by_token),
            notes=(note, *found.notes),
            parts=found.parts,
            rest=found.rest,
        )
