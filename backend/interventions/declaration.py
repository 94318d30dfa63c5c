"""What an intervention declares; everything else about it is derived from that."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of

if TYPE_CHECKING:
    from tokenarium.backend.models.loaded import LoadedModel
    from tokenarium.backend.observe.layer import Change

Acts = Literal["edit", "mask", "reshape"]
"""What is really done: other tokens are read, keys are hidden, or weights are computed anew."""


@dataclass(frozen=True)
class Edited:
    """The tokens of the changed run, T' of them."""

    ids: list[int]
    aligned: list[int]
    """Position in the plain run of each token; -1 where it has none."""


class Intervention(Method):
    """One way to change a run; subclassing registers it, its fields are its parameters.

    A subclass overrides ``edit`` to change what is read, or ``changes`` to change attention. One
    that reads a text backwards, its first token left where it is::

        class Backwards(Intervention):
            slug = "backwards"
            title = "Read backwards"
            explanation = "Turns the text round after its first token."
            paper = "none; a baseline"
            acts = "edit"

            def edit(self, loaded, ids):
                back = range(len(ids) - 1, 0, -1)
                return Edited([ids[0], *(ids[i] for i in back)], [0, *back])

    Of the tokens [1, 7, 8, 9] the changed run reads [1, 9, 8, 7], which are those at the positions
    [0, 3, 2, 1] of the plain run.

    Requests and stored runs are checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Intervention"]]] = Registry(
        "intervention", modules_of("tokenarium.backend.interventions.methods")
    )

    slug: ClassVar[str]
    """Name of the method in requests."""
    title: ClassVar[str]
    """Name of the method for people."""
    explanation: ClassVar[str]
    """What it does and why, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper."""
    acts: ClassVar[Acts]
    """What is really done, whatever the paper calls it."""

    def edit(self, loaded: "LoadedModel", ids: list[int]) -> Edited:
        """Return what the changed run reads instead of ``ids``, T of them.

        Raises:
            ValueError: if the text or the model does not allow it.
        """
        return Edited(ids, list(range(len(ids))))

    def changes(self, loaded: "LoadedModel", heads: int) -> "dict[int, Change]":
        """Return the change in each layer that has one; ``heads`` is the number in every layer.

        Raises:
            ValueError: if a parameter or the model does not allow it.
        """
        return {}
