"""The request for a text written by several strategies."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tokenarium.backend.cache.request import BudgetUnit, PolicySpec, policy_spec
from tokenarium.backend.decoding.constraint import Constraint
from tokenarium.backend.decoding.refused import refuse_apart, refuse_undrafted
from tokenarium.backend.decoding.small_model import SmallModel
from tokenarium.backend.decoding.strategy import Strategy
from tokenarium.backend.interventions.declaration import Intervention
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import TextRequest
from tokenarium.backend.speculation.request import DrafterSpec

MOST_TOKENS = 1024
MOST_PROMPT = 1_048_576
MOST_STRATEGIES = 4


class StrategySpec(MethodSpec[Strategy]):
    """A strategy by its slug, with parameters: ``StrategySpec("sampling", top_p=0.9)``."""

    family: ClassVar[type[Method]] = Strategy

    @property
    def strategy(self) -> Strategy:
        """The strategy with its parameters."""
        return self.method


class InterventionSpec(MethodSpec[Intervention]):
    """An intervention by its slug, with parameters: ``InterventionSpec("zero_head", layer=3)``."""

    family: ClassVar[type[Method]] = Intervention

    @property
    def intervention(self) -> Intervention:
        """The intervention with its parameters."""
        return self.method


class ConstraintSpec(MethodSpec[Constraint]):
    """A constraint by its slug, with parameters: ``ConstraintSpec("no_letters", letters="e")``."""

    family: ClassVar[type[Method]] = Constraint

    @property
    def constraint(self) -> Constraint:
        """The constraint with its parameters."""
        return self.method


class DecodeRequest(TextRequest):
    """Continue a prompt by several decoding strategies, every decision recorded."""

    kind: ClassVar[str] = "decode"

    strategies: tuple[StrategySpec, ...] = Field(
        (StrategySpec(slug="greedy"),),
        min_length=1,
        max_length=MOST_STRATEGIES,
        description="Strategies, each a lane, with their parameters; plain decoding comes first, "
        "and is put there where the first is another.",
    )
    max_new_tokens: int = Field(
        48, ge=1, le=MOST_TOKENS, description="Most tokens to add; an end-of-text token stops."
    )
    begin: tuple[int, ...] = Field(
        (),
        max_length=MOST_TOKENS,
        description="Ids of tokens that every new text begins with, before a strategy chooses: "
        "the road not taken.",
    )
    prompt_ids: tuple[int, ...] = Field(
        (),
        max_length=MOST_PROMPT,
        json_schema_extra={"since": 2},
        description="Ids of the prompt's tokens, where its text alone might be cut otherwise, as "
        "after a token in the middle of a word; empty reads the text.",
    )
    stop: tuple[str, ...] = Field(
        (), max_length=8, description="The text ends with the token that completes one of these."
    )
    constraint: ConstraintSpec | None = Field(
        None,
        description="What the new text must keep, from its first character on, in lanes of "
        "strategies that follow a constraint: regex, words, no_letters, no_phrases or brackets.",
        json_schema_extra={"since": 2},
    )

    answer: str = Field(
        "",
        max_length=1000,
        description="The right answer to the prompt, where one is known: a lane is right where it "
        "stands in the first line that it writes, as a word of its own.",
        json_schema_extra={"since": 2},
    )

    trials: int = Field(
        1,
        ge=1,
        le=64,
        description="Where the prompt has an answer: how often a lane that draws is written, by "
        "seeds from the seed on; how many are right is counted, and the first is shown.",
        json_schema_extra={"since": 3},
    )

    policy: PolicySpec | None = Field(
        None,
        description="KV-cache policy under which every lane but the first is written; the first, "
        "plain decoding, has the full cache.",
        json_schema_extra={"since": 2},
    )
    budget: float = Field(
        256,
        gt=0,
        le=1e7,
        description="What the cache may hold right after an eviction.",
        json_schema_extra={"since": 2},
    )
    budget_unit: BudgetUnit = Field(
        "tokens",
        description="tokens per head; ratio is the share of the prompt that is kept; megabytes "
        "counts keys and values of all layers that are not left alone.",
        json_schema_extra={"since": 2},
    )
    interventions: tuple[InterventionSpec, ...] = Field(
        (),
        max_length=4,
        description="What is changed in every lane but the first, one after another; the first is "
        "plain decoding of the unchanged model.",
        json_schema_extra={"since": 2},
    )

    drafter: DrafterSpec | None = Field(
        None,
        description="Drafter that guesses ahead in every lane but the first; lanes write the same "
        "with it, in fewer passes where guesses are right.",
        json_schema_extra={"since": 3},
    )
    draft_model: str = Field(
        "bundled/draft",
        max_length=300,
        description="The draft model, where the drafter has one; its tokens must be the model's.",
        json_schema_extra={"since": 3},
    )
    draft_len: int = Field(
        4,
        ge=1,
        le=32,
        title="Draft length",
        description="Most guesses after one another.",
        json_schema_extra={"since": 3},
    )
    tree_budget: int = Field(
        16,
        ge=1,
        le=256,
        description="Most guesses that one pass of the model reads.",
        json_schema_extra={"since": 3},
    )

    @model_validator(mode="before")
    @classmethod
    def _prompt_is_the_text(cls, values: Any) -> Any:
        if isinstance(values, dict) and "prompt" in values and "text" not in values:
            return {"text" if name == "prompt" else name: value for name, value in values.items()}
        return values

    @field_validator("strategies", mode="before")
    @classmethod
    def _strategies_by_slug(cls, given: Any) -> Any:
        if isinstance(given, str | Mapping | StrategySpec):
            given = [given]
        if not isinstance(given, list | tuple):
            return given
        return [StrategySpec(slug=one) if isinstance(one, str) else one for one in given]

    @field_validator("constraint", mode="before")
    @classmethod
    def _constraint_by_slug(cls, given: Any) -> Any:
        return ConstraintSpec(slug=given) if isinstance(given, str) else given

    @field_validator("policy", mode="before")
    @classmethod
    def _policy_by_slug(cls, given: Any) -> Any:
        return policy_spec(given)

    @field_validator("drafter", mode="before")
    @classmethod
    def _drafter_by_slug(cls, given: Any) -> Any:
        return DrafterSpec(slug=given) if isinstance(given, str) else given

    @field_validator("interventions", mode="before")
    @classmethod
    def _interventions_by_slug(cls, given: Any) -> Any:
        if isinstance(given, str | Mapping | InterventionSpec):
            given = [given]
        if not isinstance(given, list | tuple):
            return given
        return [InterventionSpec(slug=one) if isinstance(one, str) else one for one in given]

    @field_validator("begin", "prompt_ids")
    @classmethod
    def _ids(cls, ids: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        if any(token < 0 for token in ids):
            raise ValueError(f"{info.field_name} has a negative id: give ids of the model's tokens")
        return ids

    @field_validator("stop")
    @classmethod
    def _stops_say_something(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("stop has an empty string, which every text contains: leave it out")
        return stop

    @model_validator(mode="after")
    def _room_for_plain(self) -> Self:
        if len(self.lanes) > MOST_STRATEGIES:
            raise ValueError(
                f"strategies has {len(self.strategies)} beside plain decoding, at most "
                f"{MOST_STRATEGIES - 1} are compared with it: leave one out, or name plain "
                "decoding (greedy or sampling) first"
            )
        return self

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        asked = [spec.strategy for spec in self.strategies]
        refuse_apart(asked, self.policy, self.interventions)
        if self.drafter is not None:
            refuse_undrafted(asked, self.drafter, self.policy, self.interventions)
        return self

    @model_validator(mode="after")
    def _somebody_follows(self) -> Self:
        if self.constraint is not None and not any(lane.constrained for lane in self.lanes):
            able = [one.slug for one in Strategy.registry.all() if one.constrained]
            raise ValueError(
                f"constraint={self.constraint.slug!r} is followed by none of the strategies: add "
                f"one of {', '.join(able)}, or leave the constraint out"
            )
        return self

    @property
    def lanes(self) -> tuple[Strategy, ...]:
        """The strategies as they run, plain decoding first."""
        asked = tuple(spec.strategy for spec in self.strategies)
        first = asked[0].is_plain and not self.changed
        return asked if first else (asked[0].plain(), *asked)

    def trials_of(self, strategy: Strategy) -> int:
        """Return how often a lane is written: more than once only where that tells anything."""
        return self.trials if self.answer and strategy.draws else 1

    @property
    def changed(self) -> bool:
        """Whether lanes after the first read with another cache, ahead, or a changed model."""
        return self.policy is not None or self.drafter is not None or bool(self.interventions)

    @property
    def beside(self) -> tuple[str, ...]:
        """The small models that strategies name, and the draft model."""
        return tuple(dict.fromkeys(one.name for one in self.small_models if one.name))

    @property
    def small_models(self) -> tuple[SmallModel, ...]:
        """The models that are read beside the one that is asked for, each once."""
        found = [lane.small for lane in self.lanes if lane.small is not None]
        drafter = None if self.drafter is None else self.drafter.drafter
        if drafter is not None and drafter.source == "draft_model":
            found.append(SmallModel(self.draft_model))
        elif drafter is not None and drafter.source == "target_layers":
            found.append(SmallModel(share=drafter.layers(100) / 100))
        return tuple(dict.fromkeys(found))

    @property
    def files_read(self) -> tuple[Path, ...]:
        """Those of the draft heads, where a drafter is one."""
        return () if self.drafter is None else type(self.drafter.drafter).files()

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The strategies, and constraint, policy and interventions where there are any."""
        own = {"strategy": tuple(spec.slug for spec in self.strategies)}
        if self.constraint is not None:
            own["constraint"] = (self.constraint.slug,)
        if self.policy is not None:
            own["policy"] = self.policy.slugs
        if self.drafter is not None:
            own["drafter"] = (self.drafter.slug,)
        if self.interventions:
            own["intervention"] = tuple(spec.slug for spec in self.interventions)
        return own
