"""What a decoding strategy declares; everything else about it is derived from that."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from tokenarium.backend.decoding.calibration import Calibration
    from tokenarium.backend.decoding.lane import Lane
    from tokenarium.backend.decoding.pipeline import Pipeline
    from tokenarium.backend.decoding.premise import Premise
    from tokenarium.backend.decoding.region import Region
    from tokenarium.backend.decoding.small_model import SmallModel
    from tokenarium.backend.decoding.watching_reader import Watched


class Strategy(Method):
    """One way to write a text; subclassing registers it, its fields are its parameters.

    A subclass overrides ``step``, which adds at least one token to the text, or ``decode`` where
    the whole text is one search. What it may ask and do is ``Lane``: ``now`` is what follows the
    text, ``fork`` and ``grow`` try tokens, ``keep`` and ``take`` make them part of the text, and
    everything is written into the journal. One that, where the model is unsure, takes the token
    after which the model is surest::

        class SurestNext(Strategy):
            slug = "surest_next"
            title = "Surest next"
            explanation = "Where unsure, takes the token after which the model is surest."
            paper = "none; an example"
            branches = True
            neutral: ClassVar = {"candidates": 1}
            quantile: float = Field(0.8, ge=0, le=1, description="Entropy quantile to pause at.")
            candidates: int = Field(3, ge=1, le=20, description="Tokens to try.")

            def step(self, lane):
                pause = lane.line("pause above", lane.calibration.entropy(self.quantile))
                if lane.now.entropy_nats <= pause or self.candidates == 1:
                    return lane.take(lane.now.best)
                lane.event("pause", "entropy is above the threshold")
                tried = lane.fork(lane.now.likeliest(self.candidates))
                lane.keep(min(tried, key=lambda branch: branch.now.entropy_nats))

    Requests and stored runs are checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Strategy"]]] = Registry(
        "strategy", modules_of("tokenarium.backend.decoding.strategies")
    )

    slug: ClassVar[str]
    """Name of the strategy in requests."""
    title: ClassVar[str]
    """Name of the strategy for people."""
    explanation: ClassVar[str]
    """What it does and why, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper; the strategy is then marked a variant."""
    draws: ClassVar[bool] = False
    """Whether tokens are drawn at random."""
    branches: ClassVar[bool] = False
    """Whether it reads tokens that may not stay, or goes back."""
    constrained: ClassVar[bool] = False
    """Whether it keeps the constraint of the request."""
    embeds: ClassVar[bool] = False
    """Whether it reads mixtures of embeddings in place of tokens."""
    watches: ClassVar[tuple["Watched", ...]] = ()
    """What it looks at inside the model."""
    neutral: ClassVar[Mapping[str, Any]] = {}
    """Parameters with which it writes what plain decoding writes."""
    published: ClassVar[Mapping[str, Any]] = {}
    """The paper's values of parameters whose defaults follow the model: offered as a preset."""
    builds_on: ClassVar[str] = ""
    """What it takes for granted about a model, as a clause; empty where nothing is measured."""

    def pipeline(self) -> "Pipeline":
        """Return what is done to every distribution before a token is chosen."""
        from tokenarium.backend.decoding.pipeline import Pipeline

        return Pipeline()

    def plain(self) -> "Strategy":
        """Return plain decoding to compare it with: greedy, or sampling by the same steps."""
        return Strategy.registry.find("greedy")()

    @property
    def small(self) -> "SmallModel | None":
        """The small model that it reads with, beside the one that is asked for; None for none."""
        return None

    @property
    def is_plain(self) -> bool:
        """Whether it is plain decoding itself."""
        return False

    def regions(self, calibration: "Calibration") -> "tuple[Region, ...]":  # noqa: ARG002
        """Return where, by entropy and varentropy, it acts in a way of its own; figures draw it.

        Args:
            calibration: how unsure the model was where plain decoding wrote.
        """
        return ()

    @property
    def builds_on_something(self) -> bool:
        """Whether it says with ``premise`` what it takes for granted about a model."""
        return type(self).premise is not Strategy.premise

    def premise(self, lane: "Lane") -> "Premise | None":  # noqa: ARG002
        """Measure what it builds on, before it writes; None where nothing is asked of the model.

        Args:
            lane: at the end of the prompt, with the text and entropies of plain decoding in
                ``calibration``; what is read in it is gone afterwards.
        """
        return None

    def most_premise_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Return the most passes that measuring its premise takes."""
        return 0

    def most_passes(self, new_tokens: int) -> int:
        """Return the most forward passes that ``new_tokens`` may take, the prompt's not counted."""
        return new_tokens

    def most_token_steps(self, new_tokens: int) -> int:
        """Return the most tokens that are read in those passes."""
        return self.most_passes(new_tokens)

    def most_rereads(self, new_tokens: int) -> int:  # noqa: ARG002
        """Return the most passes that read the prompt anew, as those with a gradient do.

        Its tokens are not in ``most_token_steps``.
        """
        return 0

    def most_small_passes(self, new_tokens: int) -> int:  # noqa: ARG002
        """Return the most passes of the small model, where it has one."""
        return 0

    def step(self, lane: "Lane") -> None:
        """Add the next token to the text, or several."""
        raise NotImplementedError(f"{self.slug} overrides neither step nor decode")

    def decode(self, lane: "Lane") -> None:
        """Write until the text is over."""
        while not lane.ended:
            self.step(lane)


class SampledStrategy(Strategy):
    """A strategy that draws tokens: its parameters are those of sampling, and its own."""

    draws: ClassVar[bool] = True

    temperature: float = Field(
        1.0, ge=0, le=5, description="Divides logits; 0 takes the likeliest token."
    )
    top_k: int = Field(0, ge=0, le=1_000_000, description="Most tokens to draw from; 0 for all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Draw from the likeliest tokens that hold this share."
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="Leave out tokens below this share of the likeliest one."
    )
    typical_p: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Draw from the tokens whose surprisal is nearest to the entropy, up to this "
        "share; 1 for all.",
    )
    top_n_sigma: float = Field(
        0.0,
        ge=0,
        le=100,
        title="Top-n-sigma",
        description="Leave out logits so many standard deviations below the highest; 0 for none.",
    )
    repetition_penalty: float = Field(
        1.0, gt=0, le=10, description="Divides logits of tokens of the text; 1 changes nothing."
    )

    def pipeline(self) -> "Pipeline":
        """Return the steps that its parameters name."""
        from tokenarium.backend.decoding.pipeline import Pipeline

        return Pipeline(**self.sampling())

    def sampling(self) -> dict[str, Any]:
        """Return the parameters that all sampling has, by name."""
        return {name: getattr(self, name) for name in SampledStrategy.model_fields}

    def plain(self) -> Strategy:
        """Return sampling with the same steps."""
        return Strategy.registry.find("sampling").model_validate(self.sampling())
