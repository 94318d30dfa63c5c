"""A temperature that follows how unsure the model is, as one visible step of the pipeline."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from tokenarium.backend.decoding.pipeline import Pipeline, Stage

NAME = "temperature by entropy"
LEAST = 1e-4
"""A lower temperature is 0, the likeliest token alone."""


@dataclass(frozen=True)
class AdaptiveTemperature(Pipeline):
    """Sampling steps whose temperature is multiplied by a factor at every step."""

    factor: Callable[[float, float], float] = field(default=lambda _, __: 1.0)
    """Of the entropy and varentropy of the model's own distribution, in nats and nats^2."""

    @property
    def names(self) -> tuple[str, ...]:
        """As of a pipeline that has a temperature."""
        named = _plain(self, 2.0).names
        return tuple(NAME if name == "temperature 2" else name for name in named)

    def stages(self, logits: Tensor, probs: Tensor, path: Sequence[int]) -> list[Stage]:
        """Return the distributions, the temperature as it is at this step."""
        surprisal = -probs.log().clamp_min(-1e18)
        entropy = float((probs * surprisal).sum())
        varentropy = float((probs * (surprisal - entropy) ** 2).sum())
        temperature = self.temperature * self.factor(entropy, varentropy)
        if temperature < LEAST:  # logits over less would be infinite
            temperature = 0.0
        found = _plain(self, temperature).stages(logits, probs, path)
        if temperature == 1:  # which is no step of its own
            place = self.names.index(NAME)
            found.insert(place, Stage(NAME, found[place - 1].probs))
        return [replace(stage, name=name) for stage, name in zip(found, self.names, strict=True)]


def _plain(pipeline: Pipeline, temperature: float) -> Pipeline:
    return Pipeline(
        repetition_penalty=pipeline.repetition_penalty,
        temperature=temperature,
        top_n_sigma=pipeline.top_n_sigma,
        top_k=pipeline.top_k,
        top_p=pipeline.top_p,
        min_p=pipeline.min_p,
        typical_p=pipeline.typical_p,
    )
