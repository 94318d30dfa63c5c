"""The request for a run under KV-cache policies."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import TextRequest

MOST_STEPS = 4096

BudgetUnit = Literal["tokens", "ratio", "megabytes"]


class PolicySpec(MethodSpec[Policy]):
    """A policy by its slug, with parameters: ``PolicySpec("streaming_llm", sink=4)``.

    What follows it in a recipe stands in ``then``: ``PolicySpec("snapkv", then=["kv_quant"])`` is
    the list ``[PolicySpec("snapkv"), PolicySpec("kv_quant")]`` of a request.
    """

    family: ClassVar[type[Method]] = Policy

    then: tuple["PolicySpec", ...] = Field(
        (),
        max_length=2,
        description="In what form what the policy keeps is stored, one after another.",
    )

    def __init__(
        self,
        slug: str,
        parameters: Mapping[str, Any] | None = None,
        then: Any = (),
        **more: Any,
    ) -> None:
        # Pydantic hands every field over by its name.
        super(MethodSpec, self).__init__(
            slug=slug, parameters={**(parameters or {}), **more}, then=then
        )

    @property
    def policy(self) -> Policy:
        """The policy with its parameters, and what follows it."""
        return self.method.followed_by([spec.method for spec in self.then])  # type: ignore[misc]

    @property
    def slugs(self) -> tuple[str, ...]:
        """Names of the policy and of what follows it."""
        return (self.slug, *(spec.slug for spec in self.then))

    @field_validator("then", mode="before")
    @classmethod
    def _specs(cls, then: Any) -> Any:
        several = isinstance(then, list | tuple)
        return tuple(map(policy_spec, then)) if several else then

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        _ = self.policy
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what does not follow: requests have the keys that they had without recipes."""
        found: dict[str, Any] = write(self)
        if not self.then:
            found.pop("then", None)
        return found


def policy_spec(given: Any) -> Any:
    """Return a policy, by its slug, or a recipe, a list of them, as a ``PolicySpec``."""
    if isinstance(given, str):
        return PolicySpec(slug=given)
    if isinstance(given, list | tuple) and given:
        first, *then = (policy_spec(each) for each in given)
        spec = PolicySpec.model_validate(first)
        return spec if not then else PolicySpec(spec.slug, spec.parameters, (*spec.then, *then))
    return given


class CacheRequest(TextRequest):
    """Read a prompt and continue it greedily under each policy, the full model alongside."""

    kind: ClassVar[str] = "cache"

    policies: tuple[PolicySpec, ...] = Field(
        min_length=1,
        max_length=8,
        description="Policies to compare, each with its parameters; a list of them is a recipe.",
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
    prompt_chunk: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        title="Prompt in parts of",
        description="Most tokens of the prompt that are read at once: after each such part a "
        "policy drops down to its budget, or later parts read only what it selects; left open, "
        "the whole prompt is read before anything is chosen.",
        json_schema_extra={"since": 6},
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
        slugs = (slug for spec in self.policies for slug in spec.slugs)
        return {"policy": tuple(dict.fromkeys(slugs))}

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
        return tuple(map(policy_spec, policies))

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
