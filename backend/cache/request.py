"""The request for a run under KV-cache policies."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import TextRequest

MOST_STEPS = 4096

BudgetUnit = Literal["tokens", "ratio", "megabytes"]


class PolicySpec(MethodSpec[Policy]):
    """A policy by its slug, with parameters: ``PolicySpec("streaming_llm", sink=4)``."""

    family: ClassVar[type[Method]] = Policy

    @property
    def policy(self) -> Policy:
        """The policy with its parameters."""
        return self.method


class CacheRequest(TextRequest):
    """Read a prompt and continue it greedily under each policy, the full model alongside."""

    kind: ClassVar[str] = "cache"

    policies: tuple[PolicySpec, ...] = Field(
        min_length=1, max_length=8, description="Policies to compare, each with its parameters."
    )
    budget: float = Field(
        256, gt=0, le=1e7, description="What the cache may hold right after an eviction."
    )
    budget_unit: BudgetUnit = Field(
        "tokens",
        description="tokens per head; ratio is the share of the prompt that is kept; megabytes "
        "counts keys and values of all layers that are not left alone.",
    )
    max_new_tokens: int = Field(
        64, ge=1, le=MOST_STEPS, description="Most tokens to generate; an end-of-text token stops."
    )
    oracle: bool = Field(
        True, description="Whether the full model reads along, to tell what each policy costs."
    )
    noise: bool = Field(
        True,
        description="Whether it is told what the scores would be, and what would be kept, if "
        "attention said nothing.",
    )
    continuation: str = Field(
        "",
        max_length=200_000,
        description="A text to read after the prompt, token by token, instead of generating; its "
        "perplexity is then reported.",
    )

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The policies."""
        return {"policy": tuple(dict.fromkeys(spec.slug for spec in self.policies))}

    @model_validator(mode="before")
    @classmethod
    def _prompt_is_the_text(cls, values: Any) -> Any:
        if isinstance(values, dict) and "prompt" in values and "text" not in values:
            return {"text" if name == "prompt" else name: value for name, value in values.items()}
        return values

    @field_validator("policies", mode="before")
    @classmethod
    def _slugs_too(cls, policies: Any) -> Any:
        if not isinstance(policies, list | tuple):
            return policies
        return tuple(PolicySpec(slug=spec) if isinstance(spec, str) else spec for spec in policies)

    @field_validator("policies")
    @classmethod
    def _each_once(cls, policies: tuple[PolicySpec, ...]) -> tuple[PolicySpec, ...]:
        for number, spec in enumerate(policies):
            if spec in policies[:number]:
                raise ValueError(
                    f"policies has {spec.slug} twice with the same parameters: change one or "
                    "leave it out"
                )
        return policies

    @model_validator(mode="after")
    def _ratio_is_a_share(self) -> Self:
        if self.budget_unit == "ratio" and self.budget > 1:
            raise ValueError(
                f"budget={self.budget:g} is above 1, the whole prompt: choose a ratio of at most 1"
            )
        return self
