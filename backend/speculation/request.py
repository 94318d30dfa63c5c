"""The request for a speculative run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import TextRequest
from tokenarium.backend.speculation.drafter import Drafter
from tokenarium.backend.speculation.matrix import refuse_unless_exact
from tokenarium.backend.speculation.rule import Rule

if TYPE_CHECKING:
    from tokenarium.backend.speculation.distribution import Processors

MOST_TOKENS = 4096


class DrafterSpec(MethodSpec[Drafter]):
    """A drafter by its slug, with parameters: ``DrafterSpec("prompt_lookup", longest=3)``."""

    family: ClassVar[type[Method]] = Drafter

    @property
    def drafter(self) -> Drafter:
        """The drafter with its parameters."""
        return self.method


class RuleSpec(MethodSpec[Rule]):
    """An acceptance rule by its slug, with parameters: ``RuleSpec("typical", threshold=0.2)``."""

    family: ClassVar[type[Method]] = Rule

    @property
    def rule(self) -> Rule:
        """The rule with its parameters."""
        return self.method


class SpeculateRequest(TextRequest):
    """Continue a prompt by speculative decoding, every tree recorded."""

    kind: ClassVar[str] = "speculate"

    drafter: DrafterSpec = Field(
        DrafterSpec(slug="draft_chain"), description="The drafter, with its parameters."
    )
    draft_model: str = Field(
        "bundled/draft", description="The draft model, where the drafter has one."
    )
    rule: RuleSpec = Field(
        RuleSpec(slug="greedy"), description="The acceptance rule, with its parameters."
    )
    draft_len: int = Field(
        4, ge=1, le=32, title="Draft length", description="Most drafted tokens after one another."
    )
    tree_budget: int = Field(
        16, ge=1, le=256, description="Most drafted tokens that one pass of the target verifies."
    )
    temperature: float = Field(
        0.0, ge=0, le=5, description="0 takes the likeliest token; above, tokens are drawn."
    )
    top_k: int = Field(0, ge=0, le=1_000_000, description="Most tokens to draw from; 0 for all.")
    top_p: float = Field(
        1.0, gt=0, le=1, description="Draw from the likeliest tokens that hold this share."
    )
    min_p: float = Field(
        0.0, ge=0, le=1, description="Leave out tokens below this share of the likeliest one."
    )
    repetition_penalty: float = Field(
        1.0, gt=0, le=10, description="Divides logits of tokens on the path; 1 changes nothing."
    )
    max_new_tokens: int = Field(
        64, ge=1, le=MOST_TOKENS, description="Most tokens to add; an end-of-text token stops."
    )
    stop: tuple[str, ...] = Field(
        (), max_length=8, description="The text ends with the token that completes one of these."
    )
    vocabularies: Literal["equal", "intersection"] = Field(
        "equal",
        description="equal refuses a draft model with other tokens; intersection drafts only "
        "those that both have.",
    )
    engine: Literal["tokenarium", "transformers"] = Field(
        "tokenarium",
        description="Who drafts and verifies: this project, or transformers' own assisted "
        "generation, which is recorded and audited.",
    )
    plain: bool = Field(
        True, description="Whether to decode autoregressively too, to compare text and time."
    )

    @model_validator(mode="before")
    @classmethod
    def _prompt_is_the_text(cls, values: Any) -> Any:
        if isinstance(values, dict) and "prompt" in values and "text" not in values:
            return {"text" if name == "prompt" else name: value for name, value in values.items()}
        return values

    @field_validator("drafter", mode="before")
    @classmethod
    def _drafter_by_slug(cls, drafter: Any) -> Any:
        return DrafterSpec(slug=drafter) if isinstance(drafter, str) else drafter

    @field_validator("rule", mode="before")
    @classmethod
    def _rule_by_slug(cls, rule: Any) -> Any:
        return RuleSpec(slug=rule) if isinstance(rule, str) else rule

    @field_validator("stop")
    @classmethod
    def _stops_say_something(cls, stop: tuple[str, ...]) -> tuple[str, ...]:
        if "" in stop:
            raise ValueError("stop has an empty string, which every text contains: leave it out")
        return stop

    @model_validator(mode="after")
    def _exact(self) -> Self:
        drafter, rule = Drafter.registry.find(self.drafter.slug), Rule.registry.find(self.rule.slug)
        refuse_unless_exact(drafter, rule, self.temperature)
        return self

    @model_validator(mode="after")
    def _as_transformers_does(self) -> Self:
        if self.engine != "transformers":
            return self
        drafter = Drafter.registry.find(self.drafter.slug)
        rule = "greedy" if self.temperature == 0 else drafter.assisted_rule
        if not drafter.assisted_rule:
            known = [other.slug for other in Drafter.registry.all() if other.assisted_rule]
            raise ValueError(
                f"engine='transformers' does not draft as {self.drafter.slug} does: choose "
                f"{' or '.join(known)}, or engine='tokenarium'"
            )
        if self.rule.slug != rule:
            raise ValueError(
                f"engine='transformers' accepts by {rule} here, not by {self.rule.slug}: choose it"
            )
        if self.stop:
            raise ValueError("stop is not given to engine='transformers': leave it out")
        return self

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The drafter and the acceptance rule."""
        return {"drafter": (self.drafter.slug,), "rule": (self.rule.slug,)}

    @property
    def beside(self) -> tuple[str, ...]:
        """The draft model, where the drafter has one."""
        source = Drafter.registry.find(self.drafter.slug).source
        return (self.draft_model,) if source == "draft_model" else ()

    @property
    def files_read(self) -> tuple[Path, ...]:
        """Those of the draft heads, where the drafter is one."""
        return Drafter.registry.find(self.drafter.slug).files()

    @property
    def processors(self) -> "Processors":
        """What is done to logits."""
        from tokenarium.backend.speculation.distribution import Processors

        return Processors(
            self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty
        )
