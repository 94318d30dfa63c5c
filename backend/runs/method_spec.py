"""A method of one family as a request names it: by its slug, with parameters."""

from collections.abc import Mapping
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from tokenarium.backend.runs.request import stored_form

Method = TypeVar("Method", bound=BaseModel)


class MethodSpec(BaseModel, Generic[Method]):
    """One method and its parameters; a subclass says where the family's methods are found.

    ``DrafterSpec("prompt_lookup", longest=3)`` is ``DrafterSpec("prompt_lookup", {"longest": 3})``.
    Parameters that are left out are filled in with their defaults, so that equal requests have
    equal keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str = Field(description="Name of the method.")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of the method by name; what is left out takes its default.",
    )

    def __init__(self, slug: str, parameters: Mapping[str, Any] | None = None, **more: Any) -> None:
        super().__init__(slug=slug, parameters={**(parameters or {}), **more})

    @classmethod
    def declaration(cls, slug: str) -> type[Method]:
        """Return the class of the method named ``slug``.

        Raises:
            ValueError: if the family has none of this name.
        """
        raise NotImplementedError

    @property
    def method(self) -> Method:
        """The method with its parameters."""
        return self.declaration(self.slug).model_validate(self.parameters)

    @model_validator(mode="after")
    def _fill_in_defaults(self) -> Self:
        try:
            chosen = self.declaration(self.slug).model_validate(self.parameters)
        except ValidationError as error:
            from tokenarium.backend.errors import in_words

            raise ValueError(str(in_words(error))) from error
        self.parameters.clear()
        self.parameters.update(stored_form(chosen))
        return self
