"""SwiReasoning: switches between tokens and mixtures of embeddings as the entropy moves."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategy import Strategy

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.next_token import NextToken
    from tokenarium.backend.decoding.premise import Premise


class SwiReasoning(Strategy):
    """Explicit: tokens. Latent: sum p(x) E(x). H_ref is the entropy at the last switch.

    Latent to explicit as soon as H < H_ref; explicit to latent once H > H_ref after a number of
    steps. After the most switches it stays explicit.
    """

    slug = "swireasoning"
    title = "SwiReasoning"
    explanation = (
        "Writes tokens while the model grows surer, and thinks in mixtures of embeddings while it "
        "grows less sure; where it is very unsure it stays with tokens."
    )
    paper = "Shi et al., 2025, arXiv:2510.05069"
    differs = (
        "it begins explicit, and is latent only where the entropy is below a quantile of the "
        "model's own; no end-of-thinking token is put in"
    )
    embeds = True
    builds_on = "mixtures of embeddings, one after another, are read as tokens are"
    neutral: ClassVar[dict[str, Any]] = {"most_switches": 0}
    published: ClassVar[dict[str, Any]] = {"dwell": 512, "quantile": 1.0, "tokens": 50}

    dwell: int = Field(
        4, ge=1, le=1024, description="Steps in tokens before it may turn to mixtures again."
    )
    most_switches: int = Field(8, ge=0, le=1024, description="Changes to mixtures, at most.")
    quantile: float = Field(
        0.7, ge=0, le=1, description="Entropy quantile above which it does not turn to mixtures."
    )
    tokens: int = Field(10, ge=1, le=50, description="Most tokens that are mixed.")

    def premise(self, lane: "Lane") -> "Premise":
        """Read its mixtures one after another, whatever the entropy."""
        from tokenarium.backend.decoding.soft_premise import read_as_tokens

        return read_as_tokens(self.builds_on, lane, lambda now: self._mixed(lane, now))

    def most_premise_passes(self, new_tokens: int) -> int:
        """A pass a mixture."""
        from tokenarium.backend.decoding.soft_premise import MOST_MIXTURES

        return min(MOST_MIXTURES, new_tokens)

    def decode(self, lane: "Lane") -> None:
        """Run the two modes until the text is over."""
        from tokenarium.backend.decoding.soft import embedding_of, mixture, take_mixture

        line = lane.line("tokens above", lane.calibration.entropy(self.quantile))
        latent, stayed, switches = False, 0, 0
        reference = lane.now.entropy_nats if not lane.ended else 0.0
        while not lane.ended:
            now = lane.now
            entropy = now.entropy_nats
            doubts = entropy > reference and entropy <= line and stayed >= self.dwell
            if latent and entropy < reference:
                latent, stayed, reference = False, 0, entropy
                lane.event("switch", "surer than at the last switch: tokens")
            elif not latent and doubts and switches < self.most_switches:
                latent, stayed, reference, switches = True, 0, entropy, switches + 1
                lane.event("switch", "less sure than at the last switch: mixtures")
            ids, weights = mixture(now.probs, self.tokens)
            stayed += 1
            if latent and len(ids) > 1 and ids[0] not in lane.ends:
                take_mixture(lane, ids, weights, embedding_of(lane, ids, weights))
            else:
                lane.take(now.best)

    def _mixed(self, lane: "Lane", now: "NextToken") -> "Tensor | None":
        from tokenarium.backend.decoding.soft import embedding_of, mixture

        ids, weights = mixture(now.probs, self.tokens)
        return embedding_of(lane, ids, weights) if len(ids) > 1 else None
