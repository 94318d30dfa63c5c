"""Keep every entry in fewer bits."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from tokenarium.backend.cache.storage_form import StorageForm
from tokenarium.backend.cache.storage_plan import StoragePlan
from tokenarium.backend.cache.terms import Label


class KVQuant(StorageForm):
    """Keys by channel over a group of tokens, values by token over a group of channels.

    The code of a number is the nearest of 2^bits equal steps between the least and the greatest of
    its group: off by half a step at most.
    """

    slug: ClassVar[str] = "kv_quant"
    title: ClassVar[str] = "Quantised cache"
    explanation: ClassVar[str] = (
        "Keeps every token, keys and values in 8, 4 or 2 bits a number, the newest tokens whole."
    )
    paper: ClassVar[str] = "Liu et al. (KIVI), 2024, arXiv:2402.02750"
    differs: ClassVar[str] = (
        "numbers are made float again for every step, outside the attention kernel, so that a step "
        "takes longer than over a full cache where the authors' kernel reads codes"
    )
    label: ClassVar[Label] = "quantise"
    published: ClassVar[Mapping[str, Any]] = {"group": 32, "newest": 128}

    bits: Literal[8, 4, 2] = Field(4, description="Bits of a number.")
    group: int = Field(
        16,
        ge=2,
        le=1024,
        description="Numbers with a least and a step of their own: tokens of a key's channel, "
        "channels of a value.",
    )
    newest: int = Field(
        16, ge=0, le=65_536, description="Newest tokens that stay whole; up to a group more do."
    )

    @property
    def short_title(self) -> str:
        """Its title in that of a recipe."""
        return f"{self.bits} bits"

    def plan(self, head_size: int) -> StoragePlan:
        """Return how older entries are stored."""
        return StoragePlan(self.newest, together=self.group, bits=self.bits)
