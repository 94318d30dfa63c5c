"""The request for an intervention."""

from typing import ClassVar

from pydantic import Field, JsonValue, ValidationError, ValidationInfo, field_validator

from tokenarium.backend.interventions.declaration import Intervention
from tokenarium.backend.runs.request import TextRequest, stored_form


class InterventionRequest(TextRequest):
    """Read a text twice, as it is and with one thing changed, and compare."""

    kind: ClassVar[str] = "intervention"

    intervention: str = Field(description="Name of the method, such as drop_first.")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        validate_default=True,
        description="Parameters of the method by name; what is left out takes its default.",
    )

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The intervention."""
        return {"intervention": (self.intervention,)}

    @property
    def method(self) -> Intervention:
        """The method with its parameters."""
        return Intervention.registry.find(self.intervention).model_validate(self.parameters)

    @field_validator("intervention")
    @classmethod
    def _known(cls, slug: str) -> str:
        return Intervention.registry.find(slug).slug

    @field_validator("parameters")
    @classmethod
    def _complete(
        cls, parameters: dict[str, JsonValue], info: ValidationInfo
    ) -> dict[str, JsonValue]:
        """Fill in the defaults, so that the same question has the same key."""
        if "intervention" not in info.data:
            return parameters
        try:
            method = Intervention.registry.find(info.data["intervention"]).model_validate(
                parameters
            )
        except ValidationError as error:
            from tokenarium.backend.errors import in_words

            raise ValueError(str(in_words(error))) from error
        return stored_form(method)
