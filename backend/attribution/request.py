"""The request for an attribution."""

from typing import ClassVar, Literal

from pydantic import Field, JsonValue, ValidationError, ValidationInfo, field_validator

from tokenarium.backend.attribution.attributor import Attributor
from tokenarium.backend.attribution.target_request import TargetRequest
from tokenarium.backend.runs.request import stored_form

Unit = Literal["word", "token", "sentence", "turn"]
MatmulPrecision = Literal["highest", "medium"]
"""As in ``torch.set_float32_matmul_precision``."""


class AttributeRequest(TargetRequest):
    """Find which parts of a text made the model expect a token, beside a check against chance."""

    kind: ClassVar[str] = "attribute"

    method: str = Field("occlusion", description="Name of the attribution method.")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        validate_default=True,
        description="Parameters of the method by name; what is left out takes its default.",
    )
    unit: Unit = Field("word", description="What is scored: words, tokens, sentences or turns.")
    top: int | None = Field(
        None,
        ge=1,
        le=10_000,
        title="Deleted in the check",
        description="How many of the highest units the check deletes; None takes a fifth of them.",
    )

    matmul_precision: MatmulPrecision = Field(
        "highest",
        title="Precision of products",
        description="highest reads changed texts as the model is loaded; medium rounds what linear "
        "layers multiply to bfloat16 where the processor does that faster, and notes the error.",
        json_schema_extra={"since": 2},
    )

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The attributor."""
        return {"attributor": (self.method,)}

    @property
    def attributor(self) -> Attributor:
        """The method with its parameters."""
        return Attributor.registry.find(self.method).model_validate(self.parameters)

    @field_validator("method")
    @classmethod
    def _known(cls, slug: str) -> str:
        return Attributor.registry.find(slug).slug

    @field_validator("parameters")
    @classmethod
    def _complete(
        cls, parameters: dict[str, JsonValue], info: ValidationInfo
    ) -> dict[str, JsonValue]:
        """Fill in the defaults, so that the same question has the same key."""
        if "method" not in info.data:
            return parameters
        try:
            method = Attributor.registry.find(info.data["method"]).model_validate(parameters)
        except ValidationError as error:
            from tokenarium.backend.errors import in_words

            raise ValueError(str(in_words(error))) from error
        return stored_form(method)
