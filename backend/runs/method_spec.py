"""A method of one family as a request names it: by its slug, with parameters."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.request import stored_form

Of = TypeVar("Of", bound=Method)


class MethodSpec(BaseModel, Generic[Of]):
    """One method and its parameters; a subclass names the family.

    ``DrafterSpec("prompt_lookup", longest=3)`` is ``DrafterSpec("prompt_lookup", {"longest": 3})``.
    Parameters that are left out are filled in with their defaults, so that equal requests have
    equal keys.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: ClassVar[type[Method]]
    """Base class of the family; its registry is asked."""

    slug: str = Field(description="Name of the method.")
    parameters: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Parameters of the method by name; what is left out takes its default.",
    )

    def __init__(self, slug: str, parameters: Mapping[str, Any] | None = None, **more: Any) -> None:
        super().__init__(slug=slug, parameters={**(parameters or {}), **more})

    @property
    def method(self) -> Of:
        """The method with its parameters.

        Raises:
            ValueError: if the family has none of this name.
        """
        found: Of = self.family.registry.find(self.slug).model_validate(self.parameters)
        return found

    @model_validator(mode="after")
    def _fill_in_defaults(self) -> Self:
        try:
            chosen = self.method
        except ValidationError as error:
            from tokenarium.backend.errors import in_words

            raise ValueError(str(in_words(error))) from error
        self.parameters.clear()
        self.parameters.update(stored_form(chosen))
        return self
