"""What every method of a family declares: policies, drafters, rules, interventions, tasks."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from tokenarium.backend.runs.registry import Registry

FAMILIES: dict[str, Registry[Any]] = {}
"""Registries by the name of the family: ``policy``, ``drafter``, ``rule`` and so on."""


class Method(BaseModel):
    """One method of a family; subclassing registers it, its fields are its parameters.

    The base class of a family names its registry. Requests and stored runs are checked against
    subclasses, so they import torch inside functions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    registry: ClassVar[Registry[Any]]
    """Of the family."""
    slug: ClassVar[str]
    """Name in requests."""
    title: ClassVar[str]
    """Name for people."""
    explanation: ClassVar[str]
    """What it does and why, in one sentence; shown as the tooltip."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper or source; the method is then marked a variant."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "registry" in cls.__dict__:
            FAMILIES[cls.registry.family] = cls.registry
        if "slug" in cls.__dict__:
            cls.registry.register(cls)
