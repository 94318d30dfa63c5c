"""Policies that take the scores of another one and choose differently."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import (
    Field,
    JsonValue,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.terms import Need, NullScores, Protected, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView
    from tokenarium.kernels.attention_stats import AttentionStats, Want


def bases() -> tuple[str, ...]:
    """Return the policies that can be wrapped: their scores are known when a prompt was read."""
    return tuple(policy.slug for policy in Policy.registry.all() if _scores_prompt(policy))


def _scores_prompt(policy: type[Policy]) -> bool:
    by_score = policy.scores is not Policy.scores and policy.kept is Policy.kept
    plain = policy.patches_prefill is Policy.patches_prefill and not issubclass(policy, Wrapper)
    return policy.label == "evict" and by_score and plain and "surprisal" not in policy.needs


def _with_choices(schema: dict[str, Any]) -> None:
    schema["enum"] = list(bases())


class Wrapper(Policy):
    """A policy that changes, once after the prompt, what is made of another's scores."""

    when: ClassVar[When] = "prefill"

    base: str = Field(
        "snapkv",
        description="The policy whose scores, budgets per layer and protected tokens are used.",
        json_schema_extra=_with_choices,
    )
    base_parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of that policy by name; what is left out takes its default.",
    )
    _inner: Policy | None = PrivateAttr(None)

    @field_validator("base")
    @classmethod
    def _known(cls, base: str) -> str:
        if base not in bases():
            raise ValueError(
                f"base={base!r} gives no scores of a prompt: choose {', '.join(sorted(bases()))}"
            )
        return base

    @model_validator(mode="after")
    def _base_takes_them(self) -> Self:
        """Fill in the base's defaults, so that the same question has the same key."""
        for name in Policy.model_fields:
            if name in self.base_parameters:
                raise ValueError(
                    f"base_parameters has {name}={self.base_parameters[name]!r}, which is not the "
                    f"base's own: set {name} of {self.slug} instead"
                )
        try:
            known = self.inner.model_dump(mode="json", exclude=set(Policy.model_fields))
        except ValidationError as error:
            from tokenarium.backend.errors import in_words

            raise ValueError(f"base_parameters of {self.base}: {in_words(error)}") from error
        self.base_parameters.update(known)
        return self

    @property
    def inner(self) -> Policy:
        """The policy whose scores are used."""
        if self._inner is not None:
            return self._inner
        given = {**self.base_parameters, "reduction": self.reduction}
        return Policy.registry.find(self.base).model_validate(given)

    def fitted(self, budget: int, layers: int, context: int) -> Self:
        """Fit the policy whose scores are used."""
        own = self.model_copy()
        own._inner = self.inner.fitted(budget, layers, context)  # noqa: SLF001 - a copy of its own
        return own

    def null_baseline(self) -> NullScores:
        """Return what is known of the base's scores."""
        return self.inner.null_baseline()

    def all_needs(self) -> frozenset[Need]:
        """Return its own needs and those of the scores."""
        return self.needs | self.inner.all_needs()

    def state_per_token(self) -> int:
        """Return what the base keeps."""
        return self.inner.state_per_token()

    def smallest_budget(self) -> int:
        """Return what the base needs."""
        return self.inner.smallest_budget()

    def layer_budgets(self, budget: int, layers: int, length: int) -> list[int]:
        """Return the base's budgets."""
        return self.inner.layer_budgets(budget, layers, length)

    def want(self, length: int) -> "Want":
        """Return what the scores need."""
        return self.inner.want(length)

    def observe_prompt(self, view: "LayerView", stats: "AttentionStats") -> None:
        """Let the base see the prompt."""
        self.inner.observe_prompt(self._inner_view(view), stats)

    def watches_parts(self, length: int) -> bool:
        """Return whether the base does."""
        return self.inner.watches_parts(length)

    def observe_part(self, view: "LayerView", weights: "Tensor | None") -> None:
        """Let the base see a later part of the prompt."""
        self.inner.observe_part(self._inner_view(view), weights)

    def protects(self, budget: int, layer: int, prompt: int) -> Protected:
        """Return what the base protects."""
        return self.inner.protects(budget, layer, prompt)

    def scores(self, view: "LayerView") -> "Tensor":
        """Return the base's scores; what is no number is the lowest."""
        scores = self.inner.scores(self._inner_view(view)).float()
        return scores.masked_fill(scores.isnan(), float("-inf"))

    def _inner_view(self, view: "LayerView") -> "LayerView":
        return view.handed_to(type(self.inner).__name__, self.inner.all_needs())
