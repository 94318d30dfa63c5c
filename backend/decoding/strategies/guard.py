"""GUARD: beam search that leaves out forbidden phrases, and what means nearly the same."""

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.decoding.strategies.beam import Beam

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.decoding.branch import Branch
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.premise import Premise

NEAR = 50
"""Likeliest tokens of a step whose meaning is compared with the phrases."""


class Guard(Beam):
    """A token that would complete a phrase is out, however the phrase is cut into tokens.

    Of the others, ln p falls by strength (cos - least) where the mean embedding of the newest
    tokens has a cosine above the least with that of a phrase.
    """

    slug = "guard"
    title = "GUARD"
    explanation = (
        "Beam search in which a token that completes a forbidden phrase may not follow, and one "
        "that brings the text near to a phrase's meaning is less likely."
    )
    paper = "Deng et al., 2025, arXiv:2505.13312"
    differs = (
        "phrases are named, where the paper finds them by a classifier of prompts; meaning is the "
        "cosine of the model's own mean input embeddings"
    )
    builds_on = "few texts are near to a forbidden phrase by their embeddings"
    branches = True
    neutral: ClassVar[dict[str, Any]] = {"beams": 1, "phrases": ""}

    phrases: str = Field(
        "the", max_length=2000, description="Phrases that may not be written, commas between."
    )
    strength: float = Field(
        5.0, ge=0, le=50, description="How far ln p falls by cosine above the least."
    )
    least: float = Field(0.6, ge=0, le=1, description="Cosine from which on ln p falls.")
    window: int = Field(4, ge=1, le=32, description="Newest tokens whose mean is compared.")

    def premise(self, lane: "Lane") -> "Premise":
        """Compare the newest tokens of plain decoding with the phrases, at every step."""
        import torch

        from tokenarium.backend.decoding.premise import doubt_is_rare

        tokens = [*lane.calibration.tokens]
        near = [
            float(self._nearest(lane, tokens[:step], torch.tensor([token])))
            for step, token in enumerate(tokens)
        ]
        return doubt_is_rare(self.builds_on, near, self.least, "cosine with the nearest phrase", "")

    def log_probs(self, lane: "Lane", beam: "Branch | None") -> "Tensor":
        """Return ln p of every token [V], less its penalty."""
        import torch

        from tokenarium.backend.decoding.constraints.no_phrases import NoPhrases

        own = super().log_probs(lane, beam)
        if not self.phrases.strip(", "):
            return own
        new = [*lane.new, *([] if beam is None else beam.tokens)]
        allowed = lane.under(NoPhrases(phrases=self.phrases))
        mask = allowed.mask(allowed.text(new))
        own = own.masked_fill(~torch.from_numpy(mask).to(own.device), -float("inf"))
        struck = [key for key in (lane.now if beam is None else beam.now).likeliest(5)
                  if not mask[key]]  # fmt: skip
        for key in struck:
            lane.event("refuse", "it would complete a phrase", token=key, branch=beam)
        near = own.topk(min(NEAR, len(own))).indices
        cosine = self._nearest(lane, new, near)
        own[near] -= self.strength * (cosine - self.least).clamp_min(0)
        return own

    def _nearest(self, lane: "Lane", new: list[int], tokens: "Tensor") -> "Tensor":
        """Return the highest cosine [n] of the newest tokens and each of some with a phrase."""
        import torch
        import torch.nn.functional as F

        recent = new[-self.window + 1 :] if self.window > 1 else []
        own = lane.stepper.embed(tokens.tolist()).float()
        if recent:
            own = own + lane.stepper.embed(recent).float().sum(0)
        listed = [one.strip() for one in self.phrases.split(",") if one.strip()]
        spelled = [lane.encode(text) for one in listed for text in (one, f" {one}")]
        means = [lane.stepper.embed(ids).float().mean(0) for ids in spelled if ids]
        if not means:
            return torch.zeros(len(own), device=own.device)
        return (F.normalize(own, dim=-1) @ F.normalize(torch.stack(means), dim=-1).T).amax(-1)
