"""Policies that keep every entry and store it in another form: the later steps of a recipe."""

from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from tokenarium.backend.cache.policy import Policy
from tokenarium.backend.cache.storage_plan import StoragePlan
from tokenarium.backend.cache.terms import Chooses, Label, Need, When

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.cache.layer_view import LayerView

ORDER: tuple[Label, ...] = ("reshape", "quantise")
"""Labels of forms in the order in which they can follow each other."""


class StorageForm(Policy):
    """A policy that drops nothing and makes entries smaller; it can follow another one.

    ``plan`` says how older entries are stored; the newest stay whole. Attention reads all of
    them, put together anew at every step.
    """

    when: ClassVar[When] = "never"
    chooses: ClassVar[Chooses] = "chance"
    alone: ClassVar[bool] = False
    """Whether it goes with no other step of a recipe."""

    @property
    def forms(self) -> "tuple[StorageForm, ...]":
        """Itself, and what follows it."""
        return (self, *self._forms)

    @property
    def recipe_title(self) -> str:
        """Its title with what is special about it, and what follows it."""
        own = f"{self.title}, {self.short_title}"
        return ", then ".join([own, *(form.short_title for form in self._forms)])

    @property
    def short_title(self) -> str:
        """Its title in that of a recipe."""
        return self.title

    def plan(self, head_size: int) -> StoragePlan:
        """Return how older entries with keys of so many channels are stored."""
        raise NotImplementedError(f"{self.slug} does not override plan")

    def paired_layers(self, layers: int) -> range:
        """Return the lower layer of every pair that shares directions, of so many that attend."""
        return range(0)

    def whole_tokens(self, lower: "LayerView", upper: "LayerView") -> "dict[str, Tensor]":
        """Return by ``keys`` and ``values`` the ascending indices [G, a] of what stays whole.

        Asked once for each pair of layers, after both have read the prompt.
        """
        raise NotImplementedError(f"{self.slug} does not override whole_tokens")

    def channels(self, view: "LayerView") -> "Tensor | None":
        """Return the ascending channels [G, C] of the keys that are kept; None for all.

        Asked once a layer, while the prompt's queries are there.
        """
        return None


def refuse_recipe(policy: Policy) -> None:
    """Refuse a recipe whose steps do not go together.

    Raises:
        ValueError: naming the step and what to do.
    """
    before = -1
    for form in policy.forms:
        if not isinstance(form, StorageForm):
            raise ValueError(
                f"{form.slug} chooses entries of its own and cannot follow {policy.slug}: let one "
                "policy choose, and forms such as kv_quant follow it"
            )
        if form.alone and form is not policy:
            raise ValueError(
                f"{form.slug} cannot follow {policy.slug}: layers share entries only where both "
                "hold the same tokens, so let it stand alone"
            )
        if policy.forms[0].alone and len(policy.forms) > 1:
            raise ValueError(
                f"{form.slug} cannot follow {policy.slug}, whose entries are those of two layers: "
                "let it stand alone"
            )
        place = ORDER.index(form.label)
        if place <= before:
            raise ValueError(
                f"{form.slug} ({form.label}) cannot follow what stores entries already: give "
                f"{' before '.join(ORDER)}, each once"
            )
        before = place
    if policy.forms and policy.positions != "original":
        raise ValueError(
            f"positions={policy.positions!r} of {policy.slug} turns keys that are stored in "
            "another form, which cannot be turned: set its positions to 'original'"
        )


def plan_of(policy: Policy, head_size: int) -> StoragePlan | None:
    """Return how a recipe stores older entries; None where they stay as they are."""
    plans = [form.plan(head_size) for form in policy.forms]
    return reduce(StoragePlan.combined, plans) if plans else None


def needs_of(policy: Policy) -> frozenset[Need]:
    """Return what a recipe must be given: what its policy needs and its forms do."""
    return frozenset().union(policy.all_needs(), *(form.all_needs() for form in policy.forms))
