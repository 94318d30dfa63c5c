"""What a drafter declares, and how it proposes a tree."""

from typing import TYPE_CHECKING, ClassVar, Literal

from tokenarium.backend.runs.method import Method
from tokenarium.backend.runs.registry import Registry, modules_of
from tokenarium.backend.speculation.tree import Draw, TokenTree

if TYPE_CHECKING:
    from torch import Tensor

    from tokenarium.backend.speculation.drafting import Drafting

Reads = Literal["text", "draft_model", "target_layers"]
"""What it drafts from: the text alone, a second model, or the first layers of the target."""


class Drafter(Method):
    """One way to guess what comes next; subclassing registers it, fields are its parameters.

    What it must remember during a run goes into ``drafting.memory``. Requests and stored runs are
    checked against subclasses, so they import torch inside functions.
    """

    registry: ClassVar[Registry[type["Drafter"]]] = Registry(
        "drafter", modules_of("tokenarium.backend.speculation.drafters")
    )

    slug: ClassVar[str]
    """Name in requests."""
    title: ClassVar[str]
    """Name for people."""
    explanation: ClassVar[str]
    """How it guesses, in one sentence; shown as the tooltip."""
    paper: ClassVar[str]
    """Authors, year, arXiv id."""
    differs: ClassVar[str] = "no"
    """How this reading differs from the paper; the method is then marked a variant."""
    draw: ClassVar[Draw]
    """How the children of a node are chosen: what decides which rules are exact."""
    reads: ClassVar[Reads] = "draft_model"
    """What it drafts from."""
    branches: ClassVar[bool] = True
    """Whether a node may get several children; a chain has one each."""
    prunes: ClassVar[bool] = False
    """Whether it leaves nodes out before they are verified; where they were drawn by chance, only
    rules that do not read the draft's law are then exact."""

    assisted: ClassVar[str] = ""
    """Rule that transformers' assisted generation, which drafts alike, accepts by above temperature
    0; empty where it does not draft so."""

    def layers(self, count: int) -> int:
        """Return how many layers of the target it reads, of ``count``; where it reads them."""
        return count

    def begin(self, drafting: "Drafting") -> None:
        """Learn from the prompt, ``drafting.ids``, before the first round."""

    def propose(self, drafting: "Drafting") -> TokenTree:
        """Return the tree of a round; a root alone proposes nothing.

        It holds at most ``drafting.tree_budget`` nodes beside the root that are verified, none
        deeper than ``drafting.draft_len``.
        """
        raise NotImplementedError

    def heard(self, drafting: "Drafting", tree: TokenTree, logits: "Tensor") -> None:
        """Learn from the target's logits [n, V] after ``tree.verified()``, before the walk."""


find = Drafter.registry.find
registered = Drafter.registry.all
