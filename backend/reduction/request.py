"""The request for a model that computes less."""

from typing import Any, ClassVar

from pydantic import Field, field_validator

from tokenarium.backend.reduction.reduction import Reduction
from tokenarium.backend.runs.message import refuse_surrogate
from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.method_spec import MethodSpec
from tokenarium.backend.runs.request import MOST_CHARACTERS, ModelRequest


class ReductionSpec(MethodSpec[Reduction]):
    """A way to compute less by its slug, with parameters: ``ReductionSpec("cats", sparsity=0)``."""

    family: ClassVar[type[Method]] = Reduction


class ReduceRequest(ModelRequest):
    """Let a model compute less, in layers, MLP channels or attended keys, and see what it costs."""

    kind: ClassVar[str] = "reduce"

    reduction: ReductionSpec = Field(
        ReductionSpec(slug="cats"), description="The way to compute less, with its parameters."
    )
    text: str = Field(
        "",
        max_length=MOST_CHARACTERS,
        title="Text",
        description="The text that losses are measured on, cut to its first tokens; empty reads "
        "shipped passages that nothing was calibrated on.",
    )
    tokens: int = Field(
        128,
        ge=16,
        le=1024,
        title="Tokens",
        description="Tokens of the calibration text and of the text that losses are measured on.",
    )

    @property
    def given_text(self) -> str:
        """The text, where one was given."""
        return self.text

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The reduction."""
        return {"reduction": (self.reduction.slug,)}

    @field_validator("reduction", mode="before")
    @classmethod
    def _by_slug(cls, reduction: Any) -> Any:
        return ReductionSpec(slug=reduction) if isinstance(reduction, str) else reduction

    @field_validator("text", mode="before")
    @classmethod
    def _spelled(cls, text: object) -> object:
        return refuse_surrogate("text", text)
